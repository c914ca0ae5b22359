"""The checkpoints of a run: each is complete or does not exist.

Every process writes its shard into a temporary folder and digests it; then follow the manifest, fsync and one
rename. A folder without a manifest, or whose files do not match it, is not a checkpoint: a run resumes from
the newest one that is.

An earlier attempt of the run may still be at work, or go on after a pause at any moment. So temporary folders
are each attempt's own, no checkpoint is replaced, and what is deleted was listed before the attempt is known
to be the newest: later ones have written none of it.
"""

import shutil
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from core.disk_errors import explaining_full_disk
from core.fencing import Number, Token, superseding
from core.files import create_folder, move_into_place, sha256
from training.checkpoints.format1 import FirstFormat
from training.checkpoints.manifest import (
    MANIFEST,
    CheckpointIdentity,
    FileRecord,
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
from training.checkpoints.origin import check_origin
from training.checkpoints.reader import ShardReader
from training.checkpoints.retention import Retention, delete_checkpoint, old_checkpoints
from training.checkpoints.shards import shard_name, write_shard
from training.checkpoints.snapshot import Snapshot
from training.checkpoints.state import Stateful, StateReader
from training.processes.group import ProcessGroup

_RERUN = "earlier ones are kept; free space, then rerun the same command, which resumes from the newest"


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
        retention: Retention,
        token: Token | None = None,
        taken_down: Mapping[str, str] | None = None,
    ) -> None:
        """
        Args:
            layout: of this run's state.
            retention: which checkpoints :meth:`save` leaves.
            taken_down: digests that the data had before videos were taken down, and the date of that.
            token: of this attempt; None where nothing else can write to the folder.
        """
        self._root, self._identity, self._layout, self._group = root, identity, layout, group
        self._retention, self._taken_down = retention, taken_down or {}
        self._token, self._number = token, token.number if token is not None else None
        self._damaged: set[Path] = set()  # by their digests

    def save(
        self,
        step: int,
        state: Snapshot,
        group: ProcessGroup | None = None,
        held: Collection[Path] = (),
        remedy: str | None = None,
    ) -> Checkpoint:
        """Write the checkpoint of ``step``, then delete those that are not to be kept. Collective.

        Args:
            state: of this process, after the step.
            group: that the processes work together in; None for the run's.
            held: checkpoints that something else still reads, which are deleted by a later save.
            remedy: what to do where the disk is full, for the message; None: rerun the command.

        Raises SupersededError, and leaves all checkpoints as they are, where a later attempt has begun.
        """
        group = group or self._group
        with superseding(self._token):
            saved = self._write_explaining(step, state, group, remedy or _RERUN)
            group.together(lambda: self._delete_old(saved, held) if group.is_first else None)
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
            return self._newest_of(before, warn)

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
                delete_checkpoint(path)

        with superseding(self._token):
            self._group.together(delete)

    def add(self, step: int, needed: int, fill: Callable[[Path], str | None]) -> Checkpoint | str:
        """Add a checkpoint that was written elsewhere; in the first process alone.

        Args:
            needed: bytes of its files.
            fill: copies its files and manifest into the empty folder that it is called with, verifies them,
                and returns what is wrong, if anything.

        Returns:
            The checkpoint, or what is wrong with it.

        Raises SupersededError, and AnimaticError where the disk is full.
        """
        partial = self._root / partial_name(step, self._number)
        with superseding(self._token), self._explaining(step, needed, _RERUN):
            try:
                self._begin(partial)
                damage = fill(partial)
                if damage is not None:
                    return damage
                final = self._put_in_place(partial, step)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
        return Checkpoint(step, final, sha256(final / MANIFEST))

    def load(
        self, checkpoint: Checkpoint, states: Sequence[Stateful], *, of_another_run: bool = False
    ) -> None:
        """Restore the states from a checkpoint. Collective.

        Args:
            of_another_run: one that is known to differ in settings of the optimizer alone.

        Raises AnimaticError when another run wrote it, or its format needs as many processes as wrote it.
        """
        reader = self._group.together(lambda: self._reader(checkpoint.path, of_another_run))
        with superseding(self._token):
            for state in states:
                state.restore(reader)

    def change(self, checkpoint: Checkpoint) -> str | None:
        """Who wrote a checkpoint and who continues it, where these differ."""
        return self._layout.change_from(read_manifest(checkpoint.path))

    def check(self, where: Path | str, manifest: Manifest, *, of_another_run: bool = False) -> None:
        """Raise AnimaticError where this run cannot continue from a checkpoint with this manifest."""
        check_origin(
            where,
            manifest,
            self._identity,
            self._layout,
            self._taken_down,
            of_another_run=of_another_run,
        )

    def _reader(self, path: Path, of_another_run: bool) -> StateReader:
        manifest = read_manifest(path)
        self.check(path, manifest, of_another_run=of_another_run)
        if manifest.format == 1:
            return FirstFormat(path, self._group.rank, self._layout.zero_stage)
        return ShardReader(path, manifest)

    def _write_explaining(self, step: int, state: Snapshot, group: ProcessGroup, remedy: str) -> Checkpoint:
        """Write a checkpoint. Collective. Raises AnimaticError where the disk is full."""
        partial = self._root / partial_name(step, self._number)
        needed = state.bytes * group.size  # about: the processes share the state evenly
        with self._explaining(step, needed, remedy):
            try:
                return self._write(partial, step, state, group)
            finally:
                if group.is_first:
                    shutil.rmtree(partial, ignore_errors=True)  # what a failure left

    def _write(self, partial: Path, step: int, state: Snapshot, group: ProcessGroup) -> Checkpoint:
        """Write the files of a checkpoint into a temporary folder and rename it. Collective."""
        group.together(lambda: self._begin(partial) if group.is_first else None)
        name = shard_name(group.rank)
        record = group.together(lambda: write_shard(partial / name, state.pieces))
        # By the process that wrote it: another machine may not list a file yet that was just written.
        records = dict(group.gathered((name, record)))

        def commit() -> Checkpoint | None:
            # The digest too: other machines may not list the new folder yet.
            if not group.is_first:
                return None
            with superseding(self._token):
                write_manifest(partial, self._manifest(step, state, records))
                final = self._put_in_place(partial, step)
                return Checkpoint(step, final, sha256(final / MANIFEST))

        saved = group.from_first(group.together(commit))
        if saved is None:
            raise RuntimeError("the first process has committed nothing")
        return saved

    def _manifest(self, step: int, state: Snapshot, files: dict[str, FileRecord]) -> Manifest:
        return Manifest(
            **self._identity.model_dump(),
            step=step,
            time=time.time(),
            world_size=self._layout.world_size,
            zero_stage=self._layout.zero_stage,
            precision=self._layout.precision,
            counters=dict(state.counters),
            files=files,
            attempt=None if self._number is None else str(self._number),
        )

    def _begin(self, partial: Path) -> None:
        self._check()
        shutil.rmtree(partial, ignore_errors=True)
        create_folder(self._root)
        partial.mkdir()

    def _put_in_place(self, partial: Path, step: int) -> Path:
        """Rename a finished checkpoint, to a name of its own where its plain one is taken."""
        final = self._root / plain_name(step)
        if final.exists():
            final = self._root / own_name(step, self._number or Number(0, 0))
        self._check()
        move_into_place(partial, final)
        self._damaged.discard(final)  # one of this name can have been damaged, and deleted since
        return final

    def _check(self) -> None:
        if self._token is not None:
            self._token.check()

    def _explaining(self, step: int, needed: int, remedy: str) -> AbstractContextManager[None]:
        return explaining_full_disk(self._root, f"the checkpoint of step {step}", needed, remedy)

    def _newest_of(self, before: int | None, warn: Callable[[str], None]) -> Checkpoint | None:
        for path in reversed(complete_checkpoints(self._root)):
            if before is not None and step_of(path) >= before:
                continue
            damage = find_damage(path)
            if damage is None:
                return Checkpoint(step_of(path), path, sha256(path / MANIFEST))
            self._damaged.add(path)
            warn(f"checkpoint {path} is damaged and skipped: {damage}")
        return None

    def _delete_old(self, saved: Checkpoint, held: Collection[Path]) -> None:
        old = old_checkpoints(self._root, saved.path, self._retention, held, self._damaged)
        if old and (self._token is None or self._token.holds()):
            for path in old:
                delete_checkpoint(path)
