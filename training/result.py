"""How a run ends, for what has launched it."""

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
class Stopped:
    """A signal stopped the run: see :class:`training.control.StoppedBySignal`."""

    signal: int
    step: int | None


@dataclass(frozen=True)
class Refused:
    """An error that only the user can fix, in one line; starting the processes again would repeat it."""

    message: str


Outcome = TrainResult | Stopped | Refused
