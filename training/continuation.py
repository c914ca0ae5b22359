"""Continuing another run from one of its checkpoints with other settings of the optimizer."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.config.keys import flatten
from core.errors import AnimaticError
from core.files import sha256
from training import events
from training.checkpoints import (
    MANIFEST,
    Checkpoint,
    CheckpointStore,
    Manifest,
    Stateful,
    find_damage,
    read_manifest,
)
from training.config import RunConfig, config_hash, load, trajectory_hash
from training.config.identity import trajectory_hash_1, trajectory_values
from training.journal import Journal
from training.processes.group import ProcessGroup
from training.run_folder import RunFolder
from training.upload.download import later_checkpoint
from training.upload.uploader import CheckpointUploader

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Continuation:
    """The checkpoint of another run that a run continues.

    Attributes:
        digest: of its manifest.
        config_hash: of the other run.
    """

    path: Path
    manifest: Manifest
    digest: str
    config_hash: str


def find_continuation(config: RunConfig, *, verify: bool = True) -> Continuation | None:
    """The checkpoint that ``init.checkpoint`` names; None where it names none.

    Args:
        verify: False leaves the digests of its files to another process.

    Raises AnimaticError when it is missing or damaged, or its run differs in more than ``optimizer``.
    """
    if config.init.checkpoint is None:
        return None
    path = Path(config.init.checkpoint).resolve()
    damage = find_damage(path, digests=verify)
    if damage is not None:
        raise AnimaticError(f"init.checkpoint {path} cannot be used: {damage}")
    manifest = read_manifest(path)
    earlier = _earlier_config(path, manifest)
    differing = _differences(earlier, config)
    if differing:
        raise AnimaticError(
            f"init.checkpoint {path} is of a run with other settings than this one ({', '.join(differing)}): "
            "only those of `optimizer` may differ"
        )
    if manifest.format == 1 and config.optimizer.weight_decay_on != "all":
        raise AnimaticError(
            f"init.checkpoint {path} is of format 1, whose optimizer state is of all parameters together: "
            "continue it with optimizer.weight_decay_on=all, and choose matrices from its next checkpoint on"
        )
    return Continuation(path, manifest, sha256(path / MANIFEST), config_hash(earlier))


def resume(
    checkpoints: CheckpointStore,
    states: Sequence[Stateful],
    steps: int,
    continuation: Continuation | None,
    journal: Journal,
    group: ProcessGroup,
    before: int | None = None,
    uploads: CheckpointUploader | None = None,
    on_file: Callable[[], None] = lambda: None,
) -> int | None:
    """Restore the newest complete checkpoint of a run, else that of the run it continues. Collective.

    Args:
        steps: of the whole run.
        uploads: in the first process, to the remote folder that may have a later one; a checkpoint that it
            lacks is uploaded.
        before: only checkpoints of an earlier step; None for any.
        on_file: called after each file of a checkpoint that is downloaded.

    Returns:
        The step after which the checkpoint was written; None without one.

    Raises AnimaticError when the checkpoint does not fit, or is of a later step than ``steps``.
    """

    def warn(text: str) -> None:
        journal.record(0, events.Warned(text))

    local = checkpoints.newest(warn, before)

    def newest() -> Checkpoint | None:
        if uploads is None:
            return local
        return later_checkpoint(uploads.checkpoints, checkpoints, local, before, warn, on_file)

    checkpoint = group.from_first(group.together(newest))
    begins = checkpoint is None and continuation is not None
    if checkpoint is None and continuation is not None:
        checkpoint = Checkpoint(continuation.manifest.step, continuation.path, continuation.digest)
    if checkpoint is None:
        return None
    found = checkpoint
    group.together(lambda: _check_step(found, steps))
    checkpoints.load(checkpoint, states, of_another_run=begins)
    if uploads is not None and not begins:
        uploads.submit(checkpoint.step, checkpoint.path, checkpoint.digest)
    change = checkpoints.change(checkpoint)
    journal.record(checkpoint.step, events.Resumed(str(checkpoint.path), checkpoint.digest, change))
    logger.info("resumed from %s%s", checkpoint.path, f", {change}" if change else "")
    return checkpoint.step


def _check_step(checkpoint: Checkpoint, steps: int) -> None:
    if checkpoint.step > steps:
        raise AnimaticError(
            f"checkpoint {checkpoint.path} was written after step {checkpoint.step}, train.steps is "
            f"{steps}: set train.steps={checkpoint.step} or more, or choose another run folder (--out)"
        )


def _earlier_config(path: Path, manifest: Manifest) -> RunConfig:
    """The configuration of the run that wrote a checkpoint, which is in its run folder."""
    file = RunFolder(path.parent.parent).config
    earlier = load(file)
    recorded = trajectory_hash_1 if manifest.format == 1 else trajectory_hash
    if recorded(earlier) != manifest.trajectory:
        raise AnimaticError(f"{file} is not the configuration that checkpoint {path} was written with")
    return earlier


def _differences(earlier: RunConfig, config: RunConfig) -> list[str]:
    """Settings outside of ``optimizer`` that decide the weights and differ, at most five."""
    before, now = _without_optimizer(earlier), _without_optimizer(config)
    names = sorted({*before, *now})
    return [name for name in names if before.get(name) != now.get(name)][:5]


def _without_optimizer(config: RunConfig) -> Mapping[str, Any]:
    values = flatten(trajectory_values(config))
    return {name: value for name, value in values.items() if not name.startswith("optimizer.")}
