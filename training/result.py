"""What a run ends with, and whether it has ended before."""

from dataclasses import dataclass
from pathlib import Path

from training.config import RunConfig
from training.process_group import ProcessGroup
from training.publish import finished_bundle
from training.run_folder import RunFolder


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


def finished_result(
    config: RunConfig, folder: RunFolder, digest: str, group: ProcessGroup
) -> TrainResult | None:
    """The result of a run that has its bundle; None without one. Collective.

    The first process looks and verifies: others, on other machines, may not list the bundle yet.

    Raises AnimaticError, in all processes, as :func:`finished_bundle` does.
    """
    bundle = group.together(lambda: finished_bundle(config, folder, digest) if group.is_first else None)
    bundle_id = group.from_first(bundle.id if bundle else None)
    if bundle_id is None:
        return None
    return TrainResult(bundle_id, folder.bundle, config.train.steps, None, config.train.steps)
