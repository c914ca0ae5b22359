"""The timesteps that sampling visits, with the share of signal and noise at each."""

import math
from functools import cached_property

import numpy as np

from models.architecture import DiffusionConfig
from models.diffusion.schedule import dynamic_rescale, final_alphas_cumprod


class Trajectory:
    """Timesteps from the noisiest down to step 0, where the published samplers end.

    Latents at timestep i of them are signal[i]·x_0 + sigma[i]·noise. The dynamic rescale is part of the
    signal, so that the clean latents of different timesteps are of one scale: multistep solvers combine them.
    All figures are float64 and on the host, so that no step waits for the device.

    Attributes:
        timesteps: steps + 1 of them; at the last, 0, nothing is evaluated.
        signal, sigma: (steps + 1); signal is exactly 0 at zero terminal SNR.
    """

    def __init__(self, config: DiffusionConfig, visited: np.ndarray) -> None:
        """``visited``: increasing timesteps, as of :func:`models.diffusion.sampler.timesteps`."""
        self.timesteps = [*(int(step) for step in reversed(visited)), 0]
        alphas = final_alphas_cumprod(config)[self.timesteps]
        self.signal: list[float] = (np.sqrt(alphas) * dynamic_rescale(config)[self.timesteps]).tolist()
        self.sigma: list[float] = np.sqrt(1 - alphas).tolist()

    @property
    def steps(self) -> int:
        """Evaluations of the network."""
        return len(self.timesteps) - 1

    @cached_property
    def _half_log_snr(self) -> list[float]:
        pairs = zip(self.signal, self.sigma, strict=True)
        return [math.log(signal / sigma) if signal else -math.inf for signal, sigma in pairs]

    def width(self, index: int) -> float:
        """Of step ``index`` in log(signal / sigma); infinite from zero terminal SNR, 0 from step 0 itself."""
        return self._half_log_snr[index + 1] - self._half_log_snr[index]
