"""Look again at the samples of a training step that was skipped."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from core.files import atomic_file
from orchestration.reports.batch_sheet import draw_batch
from orchestration.workspace import Workspace
from training.guard.dump import StepDump, read_dump
from training.guard.rebuild import rebuilt_batch


@dataclass(frozen=True)
class SkippedBatch:
    """A skipped step as one process recorded it, and the PNG file with its samples."""

    dump: StepDump
    path: Path


def inspect_dump(dump: Path, picture: Path | None, workspace: Workspace) -> SkippedBatch:
    """Rebuild the batch from the run's data, with the same draws, and draw it with the samples' losses.

    Args:
        dump: a file of the folder ``guard`` of a run.
        picture: PNG file to write; under ``runs/inspect`` if None.

    Raises AnimaticError where the dump, its run or its data cannot be read, or the data has changed.
    """
    read = read_dump(dump)
    batch = rebuilt_batch(dump, read)
    notes = [f"loss {sample.loss:.4g} at timestep {sample.timestep}" for sample in read.samples]
    run = dump.resolve().parent.parent.name
    path = picture or workspace.root / "inspect" / f"{run}-{dump.stem}.png"
    with atomic_file(path) as partial:
        draw_batch(batch, notes).save(partial, "PNG")
    return SkippedBatch(read, path)
