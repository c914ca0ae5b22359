"""Reads any range of the tensors in a checkpoint, whatever the number of processes that wrote it."""

from bisect import bisect_right
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import safe_open
from torch import Tensor

from core.errors import AnimaticError
from training.checkpoints.manifest import Manifest
from training.checkpoints.shards import SUFFIX, read_spans
from training.checkpoints.state import Counters, StateReader


class _Stored(NamedTuple):
    """A piece in a shard; sorted by ``start``."""

    start: int
    size: int
    shard: str


class ShardReader:
    """The state in a checkpoint of format 2: a :class:`training.checkpoints.state.StateReader`.

    Shards are mapped, and only the ranges that are asked for are read.
    """

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        """
        Raises AnimaticError when a shard is missing or unreadable, or the shards do not contain every value
        of each tensor exactly once.
        """
        self.folder = folder
        self.counters: Counters = manifest.counters
        self._wholes: dict[str, int] = {}
        self._pieces: dict[str, list[_Stored]] = {}
        self._open: dict[str, Any] = {}
        for name in sorted(name for name in manifest.files if name.endswith(SUFFIX)):
            self._add_shard(name)
        for key in self._pieces:
            self._check_cover(key)

    @property
    def keys(self) -> Collection[str]:
        """Keys of all tensors."""
        return self._wholes.keys()

    def whole(self, key: str) -> int:
        """Number of values of a tensor. Raises KeyError."""
        return self._wholes[key]

    def read(self, key: str, start: int, count: int) -> Tensor:
        """Values ``start`` to ``start + count`` of a flat tensor, fp32 on the CPU.

        Raises KeyError for an unknown tensor, ValueError for a range that is not in it.
        """
        whole, pieces = self._wholes[key], self._pieces[key]
        if start < 0 or count < 0 or start + count > whole:
            raise ValueError(f"{key} has {whole} values, not {start} to {start + count}")
        parts, end = [], start + count
        first = max(0, bisect_right(pieces, start, key=lambda piece: piece.start) - 1)
        for piece in pieces[first:]:
            if piece.start >= end:
                break
            low, high = max(start, piece.start), min(end, piece.start + piece.size)
            if low < high:
                stored = self._shard(piece.shard).get_slice(key)
                parts.append(stored[low - piece.start : high - piece.start])
        if len(parts) == 1:
            return parts[0]  # still in the file
        return torch.cat(parts) if parts else torch.empty(0)

    def _add_shard(self, name: str) -> None:
        for key, span in read_spans(self.folder / name).items():
            if self._wholes.setdefault(key, span.whole) != span.whole:
                raise AnimaticError(
                    f"checkpoint {self.folder}: {name} has a part of {key} as of {span.whole} values, "
                    f"another shard as of {self._wholes[key]}: delete it to resume from an earlier one"
                )
            self._pieces.setdefault(key, []).append(_Stored(span.start, span.size, name))

    def _check_cover(self, key: str) -> None:
        """Raise AnimaticError unless the pieces of a tensor follow each other from its start to its end."""
        pieces = self._pieces[key] = sorted(piece for piece in self._pieces[key] if piece.size)
        reached = 0
        for start, size, shard in [*pieces, _Stored(self._wholes[key], 0, "")]:
            if start != reached:
                problem = (
                    f"lacks values {reached} to {start} of {key}"
                    if start > reached
                    else f"has values {start} to {reached} of {key} twice, the second time in {shard}"
                )
                raise AnimaticError(
                    f"checkpoint {self.folder} {problem}: delete it to resume from an earlier one"
                )
            reached = start + size

    def _shard(self, name: str) -> Any:
        if name not in self._open:
            self._open[name] = safe_open(self.folder / name, framework="pt")
        return self._open[name]


def whole_tensors(reader: StateReader, kind: str, shapes: Mapping[str, Sequence[int]]) -> dict[str, Tensor]:
    """All whole tensors of a kind, in their shapes, by name without the kind.

    Args:
        kind: as ``master`` or ``ema``.
        shapes: by name, of the tensors that are wanted.

    Raises AnimaticError when one is missing or has another number of values.
    """
    found = {}
    for name, shape in shapes.items():
        key, size = f"{kind}/{name}", torch.Size(shape)
        check_whole(reader, key, size.numel())
        found[name] = reader.read(key, 0, size.numel()).clone().reshape(size)
    return found


def check_whole(reader: StateReader, key: str, count: int) -> None:
    """Raise AnimaticError unless a tensor has ``count`` values."""
    if key not in reader.keys or reader.whole(key) != count:
        found = f"{reader.whole(key)} values of {key}" if key in reader.keys else f"no {key}"
        raise AnimaticError(
            f"checkpoint {reader.folder} has {found}, this network has {count}: it is of another run"
        )
