"""Processes that save and upload checkpoints as a training run does, of a state that needs no network."""

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import torch

from tests.support.checkpoint_states import open_store
from training.checkpoints import Retention
from training.checkpoints.state import Counters, Piece, Pieces, StateReader
from training.config import resolve
from training.control import RunControl
from training.journal import Journal
from training.parts import Parts
from training.processes.group import join_process_group
from training.resuming import Resuming
from training.run_folder import RunFolder
from training.run_lock import only_run
from training.saving import Saving
from training.upload.checkpoints import RemoteCheckpoints
from training.upload.folder import RemoteFolder
from training.upload.uploader import CheckpointUploader

VALUES = 2_000_000  # of all processes: 8 MB
EVERY = 3  # steps between checkpoints
KEEP_EVERY = 150


def value_after(steps: int) -> torch.Tensor:
    """The whole state after some steps."""
    values = torch.arange(VALUES, dtype=torch.float32)
    for step in range(1, steps + 1):
        _advance(values, step)
    return values


def _advance(values: torch.Tensor, step: int) -> None:
    values.mul_(0.99).add_(float(step))


class _Values:
    """A process's share of the state."""

    def __init__(self, rank: int, size: int) -> None:
        self._start = VALUES // size * rank
        self.values = torch.arange(VALUES, dtype=torch.float32)[self._start :][: VALUES // size].clone()

    def pieces(self) -> Pieces:
        return {"master/values": Piece(self.values, self._start, VALUES)}

    def counters(self) -> Counters:
        return {}

    def restore(self, reader: StateReader) -> None:
        self.values.copy_(reader.read("master/values", self._start, self.values.numel()))


def save_steps(run_dir: str, url: str, begun: str, more: int | None) -> int:
    """Resume, and do steps with checkpoints; the last step.

    Args:
        begun: a file that exists once a step is done.
        more: steps to do; None goes on until the process is killed.
    """
    torch.set_num_threads(1)
    group, folder, control = join_process_group(gpu=False), RunFolder(Path(run_dir)), RunControl()
    steps = 1_000_000
    config = resolve(
        0, "tiny", [f"train.checkpoint_every={EVERY}", f"train.steps={steps}", f"upload.url={url}"]
    )
    with only_run(folder, group, control) as token:
        store = open_store(folder.checkpoints, keep=2, token=token, group=group, every=KEEP_EVERY)
        uploads = None
        if group.is_first:
            remote = RemoteCheckpoints(RemoteFolder(url, patience_s=0.5))
            uploads = CheckpointUploader(remote, Retention(2, KEEP_EVERY))
        state = _Values(group.rank, group.size)
        journal = Journal(folder.journal if group.is_first else None, token)
        parts = SimpleNamespace(states=[state], journal=journal, checkpoints=store, uploads=uploads)
        saving = Saving(config, cast(Parts, parts), group, control, token)
        first = Resuming(store, [state], None, journal, group, uploads).resume(steps) or 0
        last = steps if more is None else first + more
        for step in range(first + 1, last + 1):
            _advance(state.values, step)
            saving.save_if_due(step)
            Path(begun).touch()
        saving.finish()
        saving.finish_uploads(last)
        journal.close()
    return last
