"""Averaged weights in fp32, sharded as the masters are: every process averages its own part."""

from collections.abc import Mapping

import torch
from torch import Tensor

from core.errors import AnimaticError
from training.checkpoints.state import Counters, Piece, Pieces, StateReader

_KIND, _BEGUN = "ema", "ema/begun"


class Ema:
    """Exponential moving average of this process's fragments of the master weights.

    Equal to the average of the whole weights: no value is ever exchanged.
    """

    def __init__(self, fragments: Pieces, decay: float, start: int = 0) -> None:
        """
        Args:
            start: step whose weights the average begins with; 0: the weights as they are. Before it, no
                average takes up memory.
        """
        self._decay, self._start = decay, start
        self._parts = {
            name: (piece.start, piece.values.numel(), piece.whole, piece.values.device)
            for name, piece in fragments.items()
        }
        self._pieces = {} if start else _copies(fragments)
        self._begun = not start

    @property
    def values(self) -> Mapping[str, Tensor] | None:
        """The average, by name, laid out like the fragments; None before it begins."""
        return {name: piece.values for name, piece in self._pieces.items()} if self._begun else None

    @torch.no_grad()
    def update(self, fragments: Pieces, step: int) -> None:
        """Average in the weights after ``step`` (from 1), or begin with them.

        Early on the decay is (1 + n) / (10 + n) after n steps, so that the beginning soon loses its weight.
        """
        if step < self._start:
            return
        if not self._begun:
            self._pieces, self._begun = _copies(fragments), True
            return
        steps = step - self._start
        decay = min(self._decay, (1 + steps) / (10 + steps))
        current = [fragments[name].values for name in self._pieces]
        torch._foreach_lerp_([piece.values for piece in self._pieces.values()], current, 1 - decay)

    def pieces(self) -> dict[str, Piece]:
        """This process's part of the average; see :class:`training.checkpoints.Stateful`."""
        return {f"{_KIND}/{name}": piece for name, piece in self._pieces.items()}

    def counters(self) -> Counters:
        """Whether the average has begun, where it begins later; the decay follows from the step."""
        return {_BEGUN: self._begun} if self._start else {}

    def restore(self, reader: StateReader) -> None:
        """Read this process's part, if there is one. Raises AnimaticError where the checkpoint lacks it."""
        self._begun = bool(reader.counters.get(_BEGUN)) if self._start else True
        if not self._begun:
            self._pieces = {}
            return
        self._pieces = self._pieces or {
            name: Piece(torch.empty(count, device=device), start, whole)
            for name, (start, count, whole, device) in self._parts.items()
        }
        for name, piece in self._pieces.items():
            try:
                read = reader.read(f"{_KIND}/{name}", piece.start, piece.values.numel())
            except KeyError as error:
                raise AnimaticError(
                    f"checkpoint {reader.folder} has no averaged weights of {name}: it is of another run"
                ) from error
            piece.values.copy_(read)


def _copies(fragments: Pieces) -> dict[str, Piece]:
    return {name: piece._replace(values=piece.values.detach().clone()) for name, piece in fragments.items()}
