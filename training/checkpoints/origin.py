"""Whether a run may continue from a checkpoint."""

from collections.abc import Mapping
from pathlib import Path

from core.errors import AnimaticError
from core.urls import is_url
from training.checkpoints.manifest import CheckpointIdentity, Layout, Manifest


def check_origin(
    where: Path | str,
    manifest: Manifest,
    identity: CheckpointIdentity,
    layout: Layout,
    taken_down: Mapping[str, str],
    *,
    of_another_run: bool = False,
) -> None:
    """Raise AnimaticError where another run wrote a checkpoint, or its format needs another layout.

    Args:
        where: path or URL of the checkpoint, for messages.
        identity, layout: of the run that would continue.
        taken_down: digests that the data had before videos were taken down, and the date of that.
        of_another_run: one that is known to differ in settings of the optimizer alone.
    """
    writers = manifest.world_size
    if manifest.format == 1 and writers != layout.world_size:
        raise AnimaticError(
            f"checkpoint {where} was written by {writers} workers in format 1, this run has "
            f"{layout.world_size}: resume with launch.workers={writers}; any number can resume from the next "
            "checkpoint"
        )
    differing = manifest.differences(identity, layout)
    if of_another_run:
        differing = [name for name in differing if name not in ("trajectory", "continued")]
    if differing == ["dataset"] and manifest.dataset in taken_down:
        raise AnimaticError(
            f"checkpoint {where} was trained on videos that were taken down on "
            f"{taken_down[manifest.dataset]}, and does not continue without them: start a new run "
            "in another folder (--out), from the same parent bundle or another one (init.parent)"
        )
    if differing:
        in_format_1 = manifest.format == 1 and "trajectory" in differing
        hint = " or, since it has format 1, with another train.zero_stage or micro_batch"
        remedy = "another upload.url" if is_url(str(where)) else "another run folder"
        raise AnimaticError(
            f"checkpoint {where} belongs to another run (different {', '.join(differing)})"
            f"{hint if in_format_1 else ''}: choose {remedy}, or delete this one to start over"
        )
