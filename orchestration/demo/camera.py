"""Camera moves over a still picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from PIL import Image

Move = Literal["zoom in", "zoom out", "glide"]
MOVES: tuple[Move, ...] = get_args(Move)
WORDS: dict[Move, str] = {
    "zoom in": "the camera zooms in on {}",
    "zoom out": "the camera zooms out from {}",
    "glide": "the camera glides over {}",
}
_CLOSEST = 0.68  # side of the closest framing of a zoom / side of the widest
_WAY = 0.4  # of a glide, from left to right / side of its framing


@dataclass(frozen=True)
class Framing:
    """A square of a picture, in its pixels or another unit of length. Sides and positions are fractional."""

    left: float
    top: float
    side: float

    def towards(self, end: Framing, progress: float) -> Framing:
        """The framing at ``progress`` (0 to 1) on the way to ``end``."""
        pairs = ((self.left, end.left), (self.top, end.top), (self.side, end.side))
        return Framing(*(first + (last - first) * progress for first, last in pairs))

    def scaled(self, factor: float) -> Framing:
        """The framing of a picture that is larger by ``factor``."""
        return Framing(self.left * factor, self.top * factor, self.side * factor)

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom."""
        return self.left, self.top, self.left + self.side, self.top + self.side


def framings(move: Move, around: Framing) -> tuple[Framing, Framing]:
    """First and last framing of a move within the square ``around``."""
    if move == "glide":
        side = around.side / (1 + _WAY)
        top = around.top + (around.side - side) / 2
        return Framing(around.left, top, side), Framing(around.left + _WAY * side, top, side)
    side = around.side * _CLOSEST
    margin = (around.side - side) / 2
    close = Framing(around.left + margin, around.top + margin, side)
    return (around, close) if move == "zoom in" else (close, around)


def film(picture: np.ndarray, first: Framing, last: Framing, frames: int, size: int) -> np.ndarray:
    """A picture (h w 3) from one framing to another, at constant speed: (frames size size 3) uint8."""
    image = Image.fromarray(picture)
    return np.stack(
        [
            np.asarray(
                image.resize(
                    (size, size),
                    Image.Resampling.LANCZOS,
                    box=first.towards(last, index / (frames - 1)).box,
                )
            )
            for index in range(frames)
        ]
    )
