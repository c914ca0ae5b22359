"""The checkpoints of a run: list them, verify them, export the weights of one as a bundle."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import AnimaticError
from training.checkpoints import (
    MANIFEST,
    Retention,
    UnknownFormatError,
    complete_checkpoints,
    find_damage,
    read_manifest,
    step_of,
)
from training.config import RunConfig, load
from training.run_folder import RunFolder

if TYPE_CHECKING:
    from training.checkpoint_export import ExportedCheckpoint
    from training.checkpoints import Manifest

_PATIENCE_S = 10.0  # with a store that does not answer


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

    ``path``: of its folder, or the URL where it is ``remote``; ``damage``: what is wrong, None for nothing;
    ``kept``: why it is not deleted by the next save, None where it is; the others are None where its manifest
    is unreadable or of format 1.
    """

    step: int
    path: str
    remote: bool
    damage: str | None
    kept: str | None
    time: datetime | None = None
    bytes: int | None = None
    format: int | None = None
    workers: int | None = None
    zero_stage: int | None = None
    precision: str | None = None


def list_checkpoints(options: CheckpointOptions) -> list[ListedCheckpoint]:
    """The checkpoints of a run, oldest first, then those in its store (``upload.url``).

    Sizes are compared, no file is read whole.

    Raises:
        AnimaticError: the folder is neither a run's nor a checkpoint, or has none of this step, or the store
            does not answer.
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
    if not folders and options.checkpoint.step is not None:
        raise _missing(options.checkpoint, RunFolder(options.checkpoint.run))
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
    """Of the local checkpoints that are meant, oldest first."""
    run = options.run
    if (run / MANIFEST).is_file() and options.step is None:
        return [run]
    folder = RunFolder(run)
    if not folder.config.is_file():
        raise AnimaticError(f"{run} is neither a run folder nor a checkpoint: it has no config.yaml")
    found = complete_checkpoints(folder.checkpoints)
    return [path for path in found if options.step in (None, step_of(path))]


def _listed(options: CheckpointOptions, *, digests: bool) -> list[ListedCheckpoint]:
    folders = _folders(options)
    run = RunFolder(folders[0].resolve().parent.parent if folders else options.run)
    config = load(run.config) if run.config.is_file() else None
    found = _local(folders, run, config, digests)
    if config is not None and config.upload.url is not None and options.run not in folders:
        remote = _remote(config.upload.url, config, digests)
        found += [each for each in remote if options.step in (None, each.step)]
    if options.step is not None and not found:
        raise _missing(options, run)
    return found


def _local(
    folders: list[Path], run: RunFolder, config: RunConfig | None, digests: bool
) -> list[ListedCheckpoint]:
    usable = [path for path in complete_checkpoints(run.checkpoints) if (path / MANIFEST).is_file()]
    newest = config.train.keep_checkpoints if config is not None else 0
    kept = _reasons([step_of(path) for path in usable], newest, config)
    listed = []
    for path in folders:
        damage = _damage(path, digests=digests)
        try:
            manifest: Manifest | None = read_manifest(path)
        except AnimaticError:
            manifest = None
        listed.append(_describe(step_of(path), str(path), manifest, damage, kept))
    return listed


def _damage(path: Path, *, digests: bool) -> str | None:
    """What is wrong with a checkpoint, be it a format of a later version."""
    try:
        return find_damage(path, digests=digests)
    except UnknownFormatError as error:
        return str(error)


def _remote(url: str, config: RunConfig, digests: bool) -> list[ListedCheckpoint]:
    from training.upload.checkpoints import RemoteCheckpoints
    from training.upload.folder import RemoteFolder

    checkpoints = RemoteCheckpoints(RemoteFolder(url, _PATIENCE_S))
    found = checkpoints.listed()
    usable = [each.step for each in found if each.damage is None]
    kept = _reasons(usable, config.upload.keep_checkpoints, config)
    return [
        _describe(
            each.step,
            checkpoints.url(each.name),
            each.manifest,
            each.damage or (checkpoints.find_damage(each) if digests else None),
            kept,
            remote=True,
        )
        for each in found
    ]


def _describe(
    step: int,
    path: str,
    manifest: Manifest | None,
    damage: str | None,
    kept: dict[int, str],
    *,
    remote: bool = False,
) -> ListedCheckpoint:
    if manifest is None:
        return ListedCheckpoint(step, path, remote, damage, None)
    return ListedCheckpoint(
        step=step,
        path=path,
        remote=remote,
        damage=damage,
        kept=kept.get(step) if damage is None else None,
        time=None if manifest.time is None else datetime.fromtimestamp(manifest.time, UTC),
        bytes=manifest.size,
        format=manifest.format,
        workers=manifest.world_size,
        zero_stage=manifest.zero_stage,
        precision=manifest.precision,
    )


def _reasons(steps: list[int], newest: int, config: RunConfig | None) -> dict[int, str]:
    """Why checkpoints are kept, by step."""
    if config is None:
        return {}
    retention = Retention(newest, config.train.keep_every)
    old = {steps[index] for index in retention.superfluous(steps)}
    return {
        step: f"every {retention.every}" if retention.keeps_for_good(step) else f"newest {newest}"
        for step in steps
        if step not in old
    }


def _missing(options: CheckpointOptions, run: RunFolder) -> AnimaticError:
    steps = ", ".join(str(step_of(path)) for path in complete_checkpoints(run.checkpoints)) or "none"
    return AnimaticError(f"{options.run} has no checkpoint of step {options.step}; it has those of: {steps}")
