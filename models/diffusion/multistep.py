"""Solvers of second order, which extrapolate the clean latents of the step before.

With h the width of a step in log(signal / sigma), x its latents and m the clean latents that the network
predicts there, the exact solution of the probability-flow ODE is

    x' = (sigma' / sigma) x + signal' (1 - e^-h) m,

as long as m stays the same. At zero terminal SNR the first h is infinite: e^-h is then 0, and the step before
counts for nothing. Both limits are exact, so no constant replaces the zero.

The last step is of first order: it ends where the noise is nearly gone, and is so much wider than the one
before that extrapolation over it does harm.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from models.diffusion.noise import draw_noise
from models.diffusion.schedule import Diffusion
from models.diffusion.trajectory import Trajectory


class _Multistep:
    """The clean latents of the last two timesteps."""

    def __init__(self, diffusion: Diffusion, trajectory: Trajectory) -> None:
        self._diffusion, self._trajectory = diffusion, trajectory
        self._clean: list[Tensor] = []

    def _remember(self, x: Tensor, prediction: Tensor, index: int) -> Tensor:
        """The clean latents at timestep ``index``, without its dynamic rescale."""
        timestep = self._trajectory.timesteps[index]
        clean, _ = self._diffusion.split(prediction, x, timestep)
        clean = clean / self._diffusion.signal_scale[timestep]
        self._clean = [*self._clean[-1:], clean]
        return clean

    def _ratio(self, index: int) -> float:
        """Width of the step before step ``index`` by its own."""
        return self._trajectory.width(index - 1) / self._trajectory.width(index)

    def _second_order(self, clean: Tensor, index: int) -> Tensor:
        """The clean latents amid step ``index``, extrapolated from its beginning and the step before."""
        if not 0 < index < self._trajectory.steps - 1:
            return clean
        return clean + (clean - self._clean[0]) / (2 * self._ratio(index))

    def select(self, rows: Sequence[int]) -> None:
        """Continue with the samples at these positions of the batch only."""
        self._clean = [clean[list(rows)] for clean in self._clean]


class DpmSolver2M(_Multistep):
    """DPM-Solver++(2M) (arXiv:2211.01095, algorithm 2), or its SDE form, which adds noise at every step."""

    def __init__(self, diffusion: Diffusion, trajectory: Trajectory, *, sde: bool) -> None:
        super().__init__(diffusion, trajectory)
        self._sde = sde

    def step(
        self, x: Tensor, prediction: Tensor, index: int, generators: Sequence[torch.Generator]
    ) -> Tensor:
        """As in :class:`models.diffusion.solvers.Stepper`."""
        clean, trajectory = self._remember(x, prediction, index), self._trajectory
        width = trajectory.width(index)
        if width == 0:
            return x
        clean = self._second_order(clean, index)
        ratio, signal = trajectory.sigma[index + 1] / trajectory.sigma[index], trajectory.signal[index + 1]
        if not self._sde:
            return ratio * x - signal * math.expm1(-width) * clean
        kept = -math.expm1(-2 * width)
        x = ratio * math.exp(-width) * x + signal * kept * clean
        return x + trajectory.sigma[index + 1] * math.sqrt(kept) * draw_noise(generators, x)


class UniPC(_Multistep):
    """UniPC-2, B(h) = e^h - 1 (arXiv:2302.04867): the prediction at a timestep first corrects its latents.

    The corrected latents are not evaluated again: every step is one evaluation of the network.
    """

    def __init__(self, diffusion: Diffusion, trajectory: Trajectory) -> None:
        super().__init__(diffusion, trajectory)
        self._start: Tensor | None = None

    def step(
        self, x: Tensor, prediction: Tensor, index: int, generators: Sequence[torch.Generator]
    ) -> Tensor:
        """As in :class:`models.diffusion.solvers.Stepper`."""
        former = self._clean
        clean = self._remember(x, prediction, index)
        if self._start is not None:
            x = self._corrected(self._start, former, clean, index - 1)
        self._start = x
        if self._trajectory.width(index) == 0:
            return x
        return self._advance(x, self._second_order(clean, index), index)

    def _advance(self, x: Tensor, clean: Tensor, index: int) -> Tensor:
        """Latents after step ``index`` if the clean ones are ``clean`` throughout."""
        ratio = self._trajectory.sigma[index + 1] / self._trajectory.sigma[index]
        return (
            ratio * x
            - self._trajectory.signal[index + 1] * math.expm1(-self._trajectory.width(index)) * clean
        )

    def _corrected(self, start: Tensor, former: list[Tensor], clean: Tensor, index: int) -> Tensor:
        """Latents after step ``index`` from ``start``, by the clean ones at its end and its beginning."""
        before, change = former[-1], clean - former[-1]
        if index == 0:
            return self._advance(start, before + change / 2, index)
        # The weights of the two differences: equations 8 and 9 for the timesteps before and after.
        h, ratio = -self._trajectory.width(index), -self._ratio(index)
        phi_2 = math.expm1(h) / h - 1
        b_1, b_2 = phi_2 / math.expm1(h), 2 * (phi_2 / h - 1 / 2) / math.expm1(h)
        weight = (b_1 - b_2) / (1 - ratio)
        change = (b_1 - weight) * change + weight / ratio * (former[0] - before)
        return self._advance(start, before + change, index)

    def select(self, rows: Sequence[int]) -> None:
        """Continue with the samples at these positions of the batch only."""
        super().select(rows)
        self._start = None if self._start is None else self._start[list(rows)]
