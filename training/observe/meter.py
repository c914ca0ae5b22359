"""Figures of the steps of a run since the last report: losses, gradients, where the time went, memory."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch

from models.batch import Batch
from training.backends import StepResult
from training.clock import StepClock, StepTimes
from training.observe.flops import ClipShape, StepFlops
from training.observe.memory import memory_figures
from training.observe.quantiles import QUARTERS, QuarterLosses, quarter_means
from training.processes.group import ProcessGroup


@dataclass(frozen=True)
class Utilisation:
    """What the MFU is computed from.

    Attributes:
        peak_tflops: of a device, TFLOP/s.
        patch: pixels per latent cell along each side.
    """

    flops: StepFlops
    peak_tflops: float
    patch: int


class EngineState(NamedTuple):
    """Of the backend, at the time of a report.

    Attributes:
        skipped_steps: since the run began.
        loss_scale: by which the loss is multiplied; None where it is not.
    """

    skipped_steps: int
    loss_scale: float | None = None


class StepMeter:
    """Collects the steps since the last report, in every process."""

    def __init__(
        self,
        clock: StepClock,
        group: ProcessGroup,
        device: torch.device,
        timesteps: int,
        *,
        failures: Callable[[], int] = lambda: 0,
        utilisation: Utilisation | None = None,
    ) -> None:
        """
        Args:
            timesteps: length of the noise schedule.
            failures: samples of this process that could not be decoded, since it began.
            utilisation: None where the peak of the devices is not known: there is no MFU then.
        """
        self._clock, self._group, self._device = clock, group, device
        self._failures, self._utilisation, self._timesteps = failures, utilisation, timesteps
        self.begin()

    def begin(self) -> None:
        """Leave out what was counted so far, and begin to count and time the steps that follow."""
        self._quarters = QuarterLosses(self._timesteps)
        self._results: list[StepResult] = []
        self._clips: Counter[ClipShape | None] = Counter()
        self._failed = self._failures()
        self._clock.reset()

    def count(self, result: StepResult, batch: Batch, *, temporal: bool = True) -> None:
        """A step of all processes; ``batch``: this one's share."""
        self._results.append(result)
        if result.applied:
            self._quarters.add(result.samples, result.timesteps)
        use = self._utilisation
        shape = None if use is None else ClipShape.of(batch, use.patch, temporal=temporal)
        self._clips[shape] += len(batch) * self._group.size

    def report(self, engine: EngineState) -> dict[str, float]:
        """Metrics by name: see docs/training.md. Collective, with one exchange between the processes.

        The loss is the mean over the steps that were applied, if any was. Times are those of the first
        process in its own report.
        """
        with self._clock.paused():
            shared, work = self._exchanged(), self._flops()
        last = self._results[-1]
        losses = [result.loss for result in self._results if result.applied] or [last.loss]
        metrics = {
            "train/loss": float(torch.stack(losses).mean()),
            "train/lr": last.learning_rate,
            "train/grad_norm": last.grad_norm,
            "train/skipped_steps": float(engine.skipped_steps),
            **shared,
        }
        if engine.loss_scale is not None:
            metrics["train/loss_scale"] = engine.loss_scale
        metrics |= self._throughput(self._clock.report(), work)
        self._results.clear()
        self._clips.clear()
        return metrics

    def _throughput(self, times: StepTimes, work: float | None) -> dict[str, float]:
        """Metrics of time; ``work``: FLOPs of all processes, if counted."""
        total, steps = max(times.total, 1e-9), len(self._results)
        rate = self._clips.total() / total
        metrics = {
            "throughput/clips_per_s": rate,
            "throughput/clips_per_s_per_device": rate / self._group.size,
            "throughput/step_s": total / steps,
            "throughput/data_wait": times.phases["data"] / total,
        }
        if work is not None and self._utilisation is not None:
            peak = self._utilisation.peak_tflops * 1e12 * self._group.size
            metrics["throughput/mfu"] = work / total / peak
        return metrics | {f"time/{phase}_s": seconds / steps for phase, seconds in times.phases.items()}

    def _flops(self) -> float | None:
        """Of the steps of all processes; counted in the first one, which reports them."""
        use = self._utilisation
        if use is None or not self._group.is_first:
            return None
        return sum(clips * use.flops.of(shape) for shape, clips in self._clips.items() if shape is not None)

    def _exchanged(self) -> dict[str, float]:
        """Figures of all processes together. Collective."""
        failures, memory = self._failures(), memory_figures(self._device)
        own = [*self._quarters.sums(), float(failures - self._failed), *memory.values()]
        self._failed = failures
        everywhere = self._group.gathered_numbers(own)
        quarters = quarter_means([values[: 2 * QUARTERS] for values in everywhere])
        failed, *largest = zip(*(values[2 * QUARTERS :] for values in everywhere), strict=True)
        return {
            **quarters,
            "data/failures": sum(failed),
            **dict(zip(memory, map(max, largest), strict=True)),
        }
