"""Averaged weights in fp32, sharded as the masters are: every process averages its own part."""

from collections.abc import Mapping

import torch
from torch import Tensor

from core.errors import AnimaticError
from training.checkpoints.state import Counters, Piece, Pieces, StateReader

_KIND = "ema"


class Ema:
    """Exponential moving average of this process's fragments of the master weights.

    Equal to the average of the whole weights: no value is ever exchanged.
    """

    def __init__(self, fragments: Pieces, decay: float) -> None:
        """Start from the weights as they are."""
        self._pieces = {
            name: piece._replace(values=piece.values.detach().clone()) for name, piece in fragments.items()
        }
        self._decay = decay

    @property
    def values(self) -> Mapping[str, Tensor]:
        """The average, by name, laid out like the fragments."""
        return {name: piece.values for name, piece in self._pieces.items()}

    @torch.no_grad()
    def update(self, fragments: Pieces, step: int) -> None:
        """Average in the weights after ``step`` (from 1).

        Early on the decay is (1 + step) / (10 + step), so that the random start soon loses its weight.
        """
        decay = min(self._decay, (1 + step) / (10 + step))
        current = [fragments[name].values for name in self._pieces]
        torch._foreach_lerp_([piece.values for piece in self._pieces.values()], current, 1 - decay)

    def pieces(self) -> dict[str, Piece]:
        """This process's part of the average; see :class:`training.checkpoints.Stateful`."""
        return {f"{_KIND}/{name}": piece for name, piece in self._pieces.items()}

    def counters(self) -> Counters:
        """None: the decay follows from the step."""
        return {}

    def restore(self, reader: StateReader) -> None:
        """Read this process's part. Raises AnimaticError where the checkpoint has no average."""
        for name, piece in self._pieces.items():
            try:
                read = reader.read(f"{_KIND}/{name}", piece.start, piece.values.numel())
            except KeyError as error:
                raise AnimaticError(
                    f"checkpoint {reader.folder} has no averaged weights of {name}: it is of another run"
                ) from error
            piece.values.copy_(read)
