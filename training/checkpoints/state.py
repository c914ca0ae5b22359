"""The state that a checkpoint consists of: parts of flat tensors by key, and counters.

A tensor has the same key whatever the number of processes and however its values are shared by them: a
checkpoint can be read by any other number of processes.
"""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NamedTuple, Protocol

from torch import Tensor


class Piece(NamedTuple):
    """A process's part of a tensor.

    Attributes:
        values: flat (n), on any device, without padding.
        start: position of the first value in the flat tensor.
        whole: number of values of the whole tensor.
    """

    values: Tensor
    start: int
    whole: int


Pieces = Mapping[str, Piece]
# Equal in all processes.
Counters = Mapping[str, int | float | str | bool | None]


class StateReader(Protocol):
    """The state in a checkpoint, wherever its values are.

    Attributes:
        folder: of the checkpoint.
        counters: of all states, by key.
    """

    folder: Path
    counters: Counters

    @property
    def keys(self) -> Collection[str]:
        """Keys of all tensors."""
        ...

    def whole(self, key: str) -> int:
        """Number of values of a tensor. Raises KeyError."""
        ...

    def read(self, key: str, start: int, count: int) -> Tensor:
        """Values ``start`` to ``start + count`` of a flat tensor, on the CPU. Raises KeyError."""
        ...


class Stateful(Protocol):
    """What a checkpoint contains the state of.

    Keys begin with the kind of the value: ``master/unet.…``, ``exp_avg/unet.…``, ``ema/unet.…``; those of
    counters with the part that they belong to: ``optimizer/skipped_steps``, ``guard/round``.
    """

    def pieces(self) -> Pieces:
        """This process's parts, as views that are valid until the next step. Those of all processes together
        cover each tensor exactly once. Not collective."""
        ...

    def counters(self) -> Counters:
        """Small values. Not collective."""
        ...

    def restore(self, reader: StateReader) -> None:
        """Read the parts that this process has now. Collective."""
        ...
