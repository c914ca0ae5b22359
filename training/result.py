"""How a run ends, for what has launched it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class TrainResult:
    """A finished stage.

    Attributes:
        final_loss: None when nothing was left to train.
        resumed_from: step of the checkpoint that the run continued from, if any; the last step of a run that
            was finished already.
    """

    bundle_id: str
    bundle_path: Path
    steps: int
    final_loss: float | None
    resumed_from: int | None


@dataclass(frozen=True)
class DryRunResult:
    """One small step in the processes of a run: see :mod:`training.dry_run`.

    Attributes:
        samples: of the step, over all processes.
        prepared_s: seconds until the first step: processes joined, data, bundles, network, optimizer.
        phases: seconds of the step, by phase, in the first process.
        peak_bytes: allocated on the GPU, in the process with the most; None on the CPU.
    """

    processes: int
    device: str
    trained_tensors: int
    samples: int
    frames: int
    loss: float
    applied: bool
    prepared_s: float
    phases: Mapping[str, float]
    peak_bytes: int | None


@dataclass(frozen=True)
class Stopped:
    """A signal stopped the run: see :class:`training.control.StoppedBySignal`."""

    signal: int
    step: int | None


@dataclass(frozen=True)
class Refused:
    """An error that only the user can fix, in one line; starting the processes again would repeat it."""

    message: str


Finished = TrainResult | DryRunResult
Outcome = Finished | Stopped | Refused
