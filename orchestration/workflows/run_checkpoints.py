"""The checkpoints of a run: list them, verify them, export the weights of one as a bundle."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import AnimaticError
from training.checkpoints import MANIFEST, complete_checkpoints, find_damage, read_manifest, step_of
from training.config import RunConfig, load
from training.run_folder import RunFolder

if TYPE_CHECKING:
    from training.checkpoint_export import ExportedCheckpoint
    from training.checkpoints import Manifest


@dataclass(frozen=True)
class CheckpointOptions:
    """``run``: a run folder, or the folder of one checkpoint; ``step``: of the one that is meant, all or the
    newest if None."""

    run: Path
    step: int | None = None


@dataclass(frozen=True)
class ExportOptions:
    """``checkpoint``: the newest of its run that is complete if no step is given; ``out``: folder of the
    bundle, one named by its step in the run folder if None; ``averaged``: None for the average where there
    is one."""

    checkpoint: CheckpointOptions
    out: Path | None = None
    averaged: bool | None = None


@dataclass(frozen=True)
class ListedCheckpoint:
    """A checkpoint, as its manifest and the sizes of its files state, or all digests where it was verified.

    ``path``: of its folder; ``damage``: what is wrong, None for nothing; ``kept``: why it is not deleted by
    the next save, None where it is; the others are None where its manifest is unreadable or of format 1.
    """

    step: int
    path: str
    damage: str | None
    kept: str | None
    time: datetime | None = None
    bytes: int | None = None
    format: int | None = None
    workers: int | None = None
    zero_stage: int | None = None
    precision: str | None = None


def list_checkpoints(options: CheckpointOptions) -> list[ListedCheckpoint]:
    """The checkpoints of a run, oldest first; sizes are compared, no file is read whole.

    Raises:
        AnimaticError: the folder is neither a run's nor a checkpoint, or has none of this step.
    """
    return _listed(options, digests=False)


def verify_checkpoints(options: CheckpointOptions) -> list[ListedCheckpoint]:
    """As :func:`list_checkpoints`, but every file is read and compared with its digest."""
    return _listed(options, digests=True)


def export(options: ExportOptions) -> ExportedCheckpoint:
    """Write the weights of a checkpoint as a bundle.

    Raises:
        AnimaticError: no such checkpoint, or as :func:`training.checkpoint_export.export_checkpoint`.
    """
    from training.checkpoint_export import export_checkpoint

    folders = _folders(options.checkpoint)
    if options.checkpoint.step is None:
        folders = [folder for folder in folders if find_damage(folder, digests=False) is None]
    if not folders:
        raise AnimaticError(
            f"{options.checkpoint.run} has no complete checkpoint: `animatic checkpoint list "
            f"{options.checkpoint.run}` states what is wrong with them"
        )
    checkpoint = folders[-1]
    run = checkpoint.resolve().parent.parent
    target = options.out or run / f"bundle-step-{step_of(checkpoint):08d}"
    return export_checkpoint(checkpoint, target, averaged=options.averaged)


def _folders(options: CheckpointOptions) -> list[Path]:
    """Of the checkpoints that are meant, oldest first."""
    run = options.run
    if (run / MANIFEST).is_file() and options.step is None:
        return [run]
    folder = RunFolder(run)
    if not folder.config.is_file():
        raise AnimaticError(f"{run} is neither a run folder nor a checkpoint: it has no config.yaml")
    found = complete_checkpoints(folder.checkpoints)
    chosen = [path for path in found if options.step in (None, step_of(path))]
    if options.step is not None and not chosen:
        steps = ", ".join(str(step_of(path)) for path in found) or "none"
        raise AnimaticError(f"{run} has no checkpoint of step {options.step}; it has those of: {steps}")
    return chosen


def _listed(options: CheckpointOptions, *, digests: bool) -> list[ListedCheckpoint]:
    folders = _folders(options)
    if not folders:
        return []
    run = RunFolder(folders[0].resolve().parent.parent)
    config = load(run.config) if run.config.is_file() else None
    usable = [path for path in complete_checkpoints(run.checkpoints) if (path / MANIFEST).is_file()]
    steps = [step_of(path) for path in usable]
    return [_describe(path, _kept(step_of(path), steps, config), digests) for path in folders]


def _describe(path: Path, kept: str | None, digests: bool) -> ListedCheckpoint:
    damage, step = find_damage(path, digests=digests), step_of(path)
    try:
        manifest: Manifest = read_manifest(path)
    except AnimaticError:
        return ListedCheckpoint(step, str(path), damage, None)
    return ListedCheckpoint(
        step=step,
        path=str(path),
        damage=damage,
        kept=kept if damage is None else None,
        time=None if manifest.time is None else datetime.fromtimestamp(manifest.time, UTC),
        bytes=manifest.size,
        format=manifest.format,
        workers=manifest.world_size,
        zero_stage=manifest.zero_stage,
        precision=manifest.precision,
    )


def _kept(step: int, steps: list[int], config: RunConfig | None) -> str | None:
    if config is None:
        return None
    train = config.train
    if train.keep_every is not None and step % train.keep_every == 0:
        return f"every {train.keep_every}"
    newest = sorted(set(steps))[-train.keep_checkpoints :]
    return f"newest {train.keep_checkpoints}" if step in newest else None
