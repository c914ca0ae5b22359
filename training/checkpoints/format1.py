"""Checkpoints of the first format, which only as many processes with the same ZeRO stage can continue.

They contain DeepSpeed's own files, which it reads by itself (:mod:`training.backends.engine_state`), and a
file of each process with its part of the averaged weights.
"""

from collections.abc import Collection, Mapping
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from training.checkpoints.state import Counters

_AVERAGE = "ema/"


class FirstFormat:
    """A process's part of the average, as a :class:`training.checkpoints.state.StateReader`.

    The masters and the optimizer's state are in files of DeepSpeed in ``folder``.
    """

    def __init__(self, folder: Path, rank: int, zero_stage: int) -> None:
        """``rank``, ``zero_stage``: of the process that reads, and of the one that wrote."""
        self.folder = folder
        self.counters: Counters = {}
        self._file, self._zero_stage = folder / f"ema-{rank:05d}.pt", zero_stage

    @property
    def keys(self) -> Collection[str]:
        """Keys of the tensors that :meth:`read` reads."""
        return [_AVERAGE + name for name in self._values]

    def whole(self, key: str) -> int:
        """Unknown: a file contains neither the size of the whole tensor nor how much of it is padding.

        Raises KeyError.
        """
        raise KeyError(key)

    def read(self, key: str, start: int, count: int) -> Tensor:
        """Values of a tensor, of the part that this process has written. Raises KeyError."""
        values = self._values[key.removeprefix(_AVERAGE)].flatten()
        # Without ZeRO each process has written all values; otherwise those from its own start.
        begin = start if self._zero_stage == 0 else 0
        return values[begin : begin + count]

    @cached_property
    def _values(self) -> Mapping[str, Tensor]:
        if not self._file.exists():  # no average was kept
            return {}
        values: dict[str, Tensor] = torch.load(self._file, map_location="cpu", weights_only=True)
        return values
