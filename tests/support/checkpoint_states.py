"""States of a few numbers, for tests of checkpoints without a network."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from core.fencing import Token
from training.checkpoints import CheckpointIdentity, CheckpointStore, Layout
from training.checkpoints.retention import Retention
from training.checkpoints.state import Counters, Piece, StateReader
from training.processes.group import ProcessGroup

IDENTITY = CheckpointIdentity(trajectory="t" * 64, dataset="d" * 64, base=None, parent="p" * 64)
LAYOUT = Layout(world_size=1, zero_stage=2, precision="fp32", trajectory_1="o" * 64)
SHARD = "rank-00000.safetensors"  # of a state in a process that is alone


class Number:
    """A number for each process, and a word that all have in common."""

    def __init__(self, value: float = 0.0, word: str = "", rank: int = 0, size: int = 1) -> None:
        self.value, self.word = value, word
        self._rank, self._size = rank, size

    def pieces(self) -> Mapping[str, Piece]:
        return {"master/number": Piece(torch.tensor([float(self.value)]), self._rank, self._size)}

    def counters(self) -> Counters:
        return {"number/word": self.word}

    def restore(self, reader: StateReader) -> None:
        self.value = float(reader.read("master/number", self._rank, 1))
        self.word = str(reader.counters["number/word"])


class Megabytes(Number):
    """A state of 4 MB."""

    def pieces(self) -> Mapping[str, Piece]:
        return {"master/zeros": Piece(torch.zeros(1_000_000), 0, 1_000_000)}


def open_store(
    root: Path,
    keep: int = 2,
    token: Token | None = None,
    *,
    every: int | None = None,
    group: ProcessGroup | None = None,
    taken_down: Mapping[str, str] | None = None,
    layout: Layout = LAYOUT,
    **identity: Any,
) -> CheckpointStore:
    """The checkpoints below ``root``, of a run with IDENTITY and LAYOUT unless something else is given."""
    of = IDENTITY.model_copy(update=identity)
    return CheckpointStore(
        root, of, layout, group or ProcessGroup(0, 1), Retention(keep, every), token, taken_down
    )
