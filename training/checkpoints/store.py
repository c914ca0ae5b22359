"""The checkpoints of a run: each is complete or does not exist.

Every process writes its shard into a temporary folder, durably, and digests it; then follow the manifest and
one rename. A folder without a manifest, or whose files do not match it, is not a checkpoint: a run
resumes from the newest one that is.

An earlier attempt of the run may still be at work, or go on after a pause at any moment. So temporary folders
are each attempt's own, no checkpoint is replaced, and what is deleted was listed before the attempt is known
to be the newest: later ones have written none of it.
"""

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.disk_errors import explaining_full_disk
from core.errors import AnimaticError
from core.fencing import Number, Token, superseding
from core.files import create_folder, move_into_place, sha256, sync
from training.checkpoints.format1 import FirstFormat
from training.checkpoints.manifest import (
    MANIFEST,
    CheckpointIdentity,
    Layout,
    Manifest,
    find_damage,
    read_manifest,
    write_manifest,
)
from training.checkpoints.names import (
    complete_checkpoints,
    own_name,
    partial_checkpoints,
    partial_name,
    plain_name,
    step_of,
)
from training.checkpoints.reader import ShardReader
from training.checkpoints.shards import shard_name, write_shard
from training.checkpoints.state import Stateful, StateReader
from training.processes.group import ProcessGroup


@dataclass(frozen=True)
class Checkpoint:
    """A complete checkpoint.

    Attributes:
        step: after which it was written.
        digest: of its manifest, which contains the digests of its files.
    """

    step: int
    path: Path
    digest: str


class CheckpointStore:
    """The checkpoints of one run, in a folder that all its processes share."""

    def __init__(
        self,
        root: Path,
        identity: CheckpointIdentity,
        layout: Layout,
        group: ProcessGroup,
        keep: int,
        token: Token | None = None,
        taken_down: Mapping[str, str] | None = None,
    ) -> None:
        """
        Args:
            layout: of this run's processes.
            taken_down: digests that the data had before videos were taken down, and the date of that.
            keep: the number of newest checkpoints that :meth:`save` leaves.
            token: of this attempt; None where nothing else can write to the folder.
        """
        self._root, self._identity, self._layout = root, identity, layout
        self._group, self._keep = group, keep
        self._taken_down = taken_down or {}
        self._token, self._number = token, token.number if token is not None else None

    def save(self, step: int, states: Sequence[Stateful]) -> Checkpoint:
        """Write the checkpoint of ``step``, then delete the oldest ones beyond those to keep. Collective.

        Raises SupersededError, and leaves all checkpoints as they are, where a later attempt has begun.
        """
        with superseding(self._token):
            final = self._write_explaining(step, states)
            saved = Checkpoint(step, final, sha256(final / MANIFEST))
            if self._group.is_first:
                self._delete_old(saved)
        return saved

    def newest(self, warn: Callable[[str], None], before: int | None = None) -> Checkpoint | None:
        """The newest complete checkpoint; None without one. Collective.

        Removes what interrupted saves left behind.

        Args:
            warn: called in the first process for each damaged checkpoint that is skipped.
            before: only those of an earlier step; None for any.

        Raises AnimaticError when another version of animatic wrote one, which is not to be replaced.
        """

        def find() -> Checkpoint | None:
            if not self._group.is_first:
                return None
            partials = partial_checkpoints(self._root)
            self._check()
            for partial in partials:
                # A process that still writes to it can keep it from being empty; the next attempt deletes it.
                shutil.rmtree(partial, ignore_errors=self._token is not None)
            return self._find_newest(warn, before)

        with superseding(self._token):
            return self._group.from_first(self._group.together(find))

    def delete_after(self, step: int) -> None:
        """Delete the checkpoints of later steps, which the run has gone back from. Collective."""

        def delete() -> None:
            if not self._group.is_first:
                return
            later = [path for path in complete_checkpoints(self._root) if step_of(path) > step]
            self._check()
            for path in later:
                _remove(path)

        with superseding(self._token):
            self._group.together(delete)

    def load(
        self, checkpoint: Checkpoint, states: Sequence[Stateful], *, of_another_run: bool = False
    ) -> None:
        """Restore the states from a checkpoint. Collective.

        Args:
            of_another_run: one that is known to differ in settings of the optimizer alone.

        Raises AnimaticError when another run wrote it, or, in format 1, another number of processes.
        """
        reader = self._group.together(lambda: self._open(checkpoint, of_another_run))
        with superseding(self._token):
            for state in states:
                state.restore(reader)

    def change(self, checkpoint: Checkpoint) -> str | None:
        """Who wrote a checkpoint and who continues it, where these differ."""
        return self._layout.change_from(read_manifest(checkpoint.path))

    def _open(self, checkpoint: Checkpoint, of_another_run: bool) -> StateReader:
        manifest = read_manifest(checkpoint.path)
        self._check_origin(checkpoint, manifest, of_another_run)
        if manifest.format == 1:
            return FirstFormat(checkpoint.path, self._group.rank, self._layout.zero_stage)
        return ShardReader(checkpoint.path, manifest)

    def _check_origin(self, checkpoint: Checkpoint, manifest: Manifest, of_another_run: bool) -> None:
        writers = manifest.world_size
        if manifest.format == 1 and writers != self._layout.world_size:
            raise AnimaticError(
                f"checkpoint {checkpoint.path} was written by {writers} workers in format 1, this run has "
                f"{self._layout.world_size}: resume with launch.workers={writers}; any number can resume "
                "from the next checkpoint"
            )
        differing = manifest.differences(self._identity, self._layout)
        if of_another_run:
            differing = [name for name in differing if name not in ("trajectory", "continued")]
        if differing == ["dataset"] and manifest.dataset in self._taken_down:
            raise AnimaticError(
                f"checkpoint {checkpoint.path} was trained on videos that were taken down on "
                f"{self._taken_down[manifest.dataset]}, and does not continue without them: start a new run "
                "in another folder (--out), from the same parent bundle or another one (init.parent)"
            )
        if differing:
            layout = " or, since it has format 1, with another train.zero_stage or micro_batch"
            raise AnimaticError(
                f"checkpoint {checkpoint.path} belongs to another run (different {', '.join(differing)})"
                f"{layout if manifest.format == 1 and 'trajectory' in differing else ''}: "
                "choose another run folder, or delete this one to start over"
            )

    def _write_explaining(self, step: int, states: Sequence[Stateful]) -> Path:
        """Write a checkpoint; its folder. Collective. Raises AnimaticError where the disk is full."""
        partial = self._root / partial_name(step, self._number)
        with explaining_full_disk(
            self._root,
            f"the checkpoint of step {step}",
            self._newest_bytes(),
            "earlier ones are kept; free space, then rerun the same command, which resumes from the newest",
        ):
            try:
                return self._write(partial, step, states)
            finally:
                if self._group.is_first:
                    shutil.rmtree(partial, ignore_errors=True)  # what a failure left

    def _write(self, partial: Path, step: int, states: Sequence[Stateful]) -> Path:
        """Write the files of a checkpoint into a temporary folder and rename it; its name. Collective."""

        def begin() -> None:
            if self._group.is_first:
                self._check()
                shutil.rmtree(partial, ignore_errors=True)
                create_folder(self._root)
                partial.mkdir()

        self._group.together(begin)
        pieces = {key: piece for state in states for key, piece in state.pieces().items()}
        name = shard_name(self._group.rank)
        record = self._group.together(lambda: write_shard(partial / name, pieces))
        files = dict(self._group.gathered((name, record)))

        def commit() -> Path | None:
            if not self._group.is_first:
                return None
            manifest = Manifest(
                step=step,
                time=time.time(),
                world_size=self._layout.world_size,
                zero_stage=self._layout.zero_stage,
                precision=self._layout.precision,
                counters={key: value for state in states for key, value in state.counters().items()},
                files=files,
                attempt=None if self._number is None else str(self._number),
                **self._identity.model_dump(),
            )
            with superseding(self._token):
                write_manifest(partial, manifest)
                return self._put_in_place(partial, step)

        final = self._group.from_first(self._group.together(commit))
        if final is None:
            raise RuntimeError("the first process has committed nothing")
        return final

    def _put_in_place(self, partial: Path, step: int) -> Path:
        """Rename a finished checkpoint, to a name of its own where its plain one is taken."""
        final = self._root / plain_name(step)
        if final.exists():
            final = self._root / own_name(step, self._number or Number(0, 0))
        self._check()
        move_into_place(partial, final)
        return final

    def _check(self) -> None:
        if self._token is not None:
            self._token.check()

    def _newest_bytes(self) -> int:
        """Bytes of the newest checkpoint, damaged or not, as many as another needs; 0 without one."""
        newest = complete_checkpoints(self._root)[-1:]
        return sum(file.stat().st_size for path in newest for file in path.rglob("*") if file.is_file())

    def _find_newest(self, warn: Callable[[str], None], before: int | None) -> Checkpoint | None:
        for path in reversed(complete_checkpoints(self._root)):
            if before is not None and step_of(path) >= before:
                continue
            damage = find_damage(path)
            if damage is None:
                return Checkpoint(step_of(path), path, sha256(path / MANIFEST))
            warn(f"checkpoint {path} is damaged and skipped: {damage}")
        return None

    def _delete_old(self, saved: Checkpoint) -> None:
        """Delete all but the newest, once all files of the one just saved are known to be in place.

        Their digests were computed a moment ago: computing them again would read the checkpoint twice.
        """
        old = [path for path in complete_checkpoints(self._root)[: -self._keep] if path != saved.path]
        if old and find_damage(saved.path, digests=False) is None:
            if self._token is not None and not self._token.holds():
                return
            for path in old:
                _remove(path)


def _remove(path: Path) -> None:
    """Delete a checkpoint; without its manifest it no longer exists even if the deletion is interrupted."""
    if path.exists():
        (path / MANIFEST).unlink(missing_ok=True)
        sync(path)
        shutil.rmtree(path)
