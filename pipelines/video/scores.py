"""Scores of a clip's appearance, computed from its luma in one pass over its frames.

All comparisons are made in integers, so that scores are the same on every machine.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

Plane = npt.NDArray[np.uint8]
Thumb = npt.NDArray[np.int64]

SCORE_HZ = 8
PIXEL_STEP = 4
SLOW_EVERY = 4  # scored frames, so half a second, between searches for text and copies for the hash
STROKE_STEP = 40  # luma levels across the edge of a letter, over two pixels
HELD = 3  # searches in a row, so a second, in which an edge stays in place
CELL_HEIGHT, CELL_WIDTH = 8, 32  # pixels at a short side of 256
STROKES, ROWS = 2, 4  # of a cell with text: strokes in a row, and such rows
EVEN = 10  # luma levels; largest standard deviation of the brightest (or darkest) parts of letters
THUMB = 32
HASH_FRAMES = 4
MAX_THUMBS = 64


def scored_frames(frames: int, fps: float) -> range:
    """Numbers of the frames of a clip that are scored."""
    return range(0, frames, max(1, round(fps / SCORE_HZ)))


class Scores:
    """Scores of one clip.

    ``motion`` is the mean absolute change of luma between frames an eighth of a second apart, ``brightness``
    the mean luma; both in 8-bit units, on every fourth pixel of every fourth line. ``text`` is the share of
    the picture that looks like overlaid text, ``phash`` a perceptual hash of four frames.
    """

    def __init__(self, fps: float) -> None:
        self._every = max(1, round(fps / SCORE_HZ))
        self._seen = 0
        self._last: npt.NDArray[np.int16] | None = None
        self._changes: list[float] = []
        self._levels: list[float] = []
        self._text = _Text()
        self._thumbs = _Thumbs()

    def wants_next(self) -> bool:
        """Whether the next frame is scored; if not, ``skip`` it."""
        return self._seen % self._every == 0

    def skip(self) -> None:
        """Count a frame that is not scored."""
        self._seen += 1

    def add(self, luma: Plane) -> None:
        """Take the next frame's luma plane, [height, width]."""
        if self.wants_next():
            plane = luma[::PIXEL_STEP, ::PIXEL_STEP].astype(np.int16)
            self._levels.append(float(plane.mean()))
            if self._last is not None:
                self._changes.append(float(np.abs(plane - self._last).mean()))
            self._last = plane
            if (len(self._levels) - 1) % SLOW_EVERY == 0:
                self._text.add(luma)
                self._thumbs.add(luma)
        self._seen += 1

    @property
    def motion(self) -> float:
        """Zero for a clip too short to compare two frames."""
        return round(float(np.mean(self._changes)), 4) if self._changes else 0.0

    @property
    def brightness(self) -> float:
        """Mean luma, 16 (black) to 235 (white)."""
        return round(float(np.mean(self._levels)), 4) if self._levels else 0.0

    @property
    def text(self) -> float:
        """Largest share of the picture, 0–1, at any moment."""
        return round(self._text.share, 4)

    @property
    def phash(self) -> str:
        """64 hexadecimal digits; similar clips differ in few of the 256 bits."""
        return b"".join(perceptual_hash(thumb) for thumb in self._thumbs.spread(HASH_FRAMES)).hex()


class _Text:
    """Letters drawn over a video: strokes side by side, of one brightness, whose edges stay in place.

    False positives are as sharp, as dense, as even and as still as letters; missed is text that moves or
    fades, is finer than two pixels at a short side of 256, or is transparent.
    """

    def __init__(self) -> None:
        self.share = 0.0
        self._rising: npt.NDArray[np.uint8] | None = None
        self._falling: npt.NDArray[np.uint8] | None = None

    def add(self, luma: Plane) -> None:
        step = luma[:, 2:].astype(np.int16) - luma[:, :-2]
        self._rising = _age(self._rising, step >= STROKE_STEP)
        self._falling = _age(self._falling, step <= -STROKE_STEP)
        unit = max(0.5, min(luma.shape) / 256)
        shape = round(CELL_HEIGHT * unit), round(CELL_WIDTH * unit)
        rising, falling = (_cells(_starts(age), shape) for age in (self._rising, self._falling))
        if not rising.size:
            return
        striped = np.minimum(rising.sum(3), falling.sum(3)) >= STROKES
        found = striped.sum(1) >= ROWS * unit
        if not found.any():
            return
        # The letter's own level is reached two or three pixels after the start of its edge.
        ahead = np.concatenate([luma[:, 3:], luma[:, -1:]], axis=1)
        light, dark = np.maximum(luma[:, 2:], ahead), np.minimum(luma[:, 2:], ahead)
        cells = np.nonzero(found)
        even = _even(_cells(light, shape), rising, cells) | _even(_cells(dark, shape), falling, cells)
        self.share = max(self.share, float(even.sum() / found.size))


def _age(age: npt.NDArray[np.uint8] | None, now: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
    """For how many searches, up to HELD, each pixel has been an edge."""
    if age is None:
        return now.astype(np.uint8)
    grown = np.minimum(age + 1, HELD) * now
    return grown.astype(np.uint8, copy=False)


def _starts(age: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """The first pixel of every lasting edge."""
    held = age >= HELD
    held[:, 1:] &= ~held[:, :-1]
    return held


def _cells(plane: npt.NDArray[Any], shape: tuple[int, int]) -> npt.NDArray[Any]:
    """The plane as [cells down, rows of a cell, cells across, columns of a cell]."""
    down, across = plane.shape[0] // shape[0], plane.shape[1] // shape[1]
    cut = plane[: down * shape[0], : across * shape[1]]
    return cut.reshape(down, shape[0], across, shape[1])


def _even(
    levels: npt.NDArray[Any], mask: npt.NDArray[Any], cells: tuple[npt.NDArray[Any], ...]
) -> npt.NDArray[np.bool_]:
    """For each of ``cells`` whether its masked levels have a standard deviation of at most EVEN."""
    chosen = mask[cells[0], :, cells[1]]
    values = levels[cells[0], :, cells[1]].astype(np.int64) * chosen
    count = chosen.sum((1, 2))
    even: npt.NDArray[np.bool_] = (
        count * (values**2).sum((1, 2)) - values.sum((1, 2)) ** 2 <= (EVEN * count) ** 2
    )
    return even


class _Thumbs:
    """Small copies of frames spread evenly over a clip of unknown length, never more than MAX_THUMBS."""

    def __init__(self) -> None:
        self._kept: list[Thumb] = []
        self._every, self._seen = 1, 0

    def add(self, luma: Plane) -> None:
        if self._seen % self._every == 0:
            if len(self._kept) == MAX_THUMBS:
                self._kept, self._every = self._kept[::2], 2 * self._every
            if self._seen % self._every == 0:
                self._kept.append(_thumbnail(luma))
        self._seen += 1

    def spread(self, number: int) -> list[Thumb]:
        """``number`` of them, from the centres of as many equal parts of the clip."""
        return [self._kept[int((part + 0.5) * len(self._kept) / number)] for part in range(number)]


def _thumbnail(luma: Plane) -> Thumb:
    """Block means, [THUMB, THUMB]; every THUMB-th part of each side is one block."""
    tops = np.arange(THUMB) * luma.shape[0] // THUMB
    lefts = np.arange(THUMB) * luma.shape[1] // THUMB
    sums = np.add.reduceat(np.add.reduceat(luma, lefts, axis=1, dtype=np.int64), tops, axis=0)
    areas = np.outer(np.diff(tops, append=luma.shape[0]), np.diff(lefts, append=luma.shape[1]))
    thumb: Thumb = 16 * sums // np.maximum(areas, 1)
    return thumb


# The first rows of the discrete cosine transform, in thousandths.
_DCT = np.rint(1000 * np.cos(np.pi * (np.arange(THUMB) + 0.5) * np.arange(8)[:, None] / THUMB)).astype(
    np.int64
)


def perceptual_hash(thumb: Thumb) -> bytes:
    """64 bits: which of the 8x8 lowest frequencies of a thumbnail exceed their median, the mean level apart.

    pHash: Zauner 2010, *Implementation and Benchmarking of Perceptual Image Hash Functions*.
    """
    waves = (_DCT @ thumb @ _DCT.T).ravel()
    bits = waves > np.median(waves[1:])
    bits[0] = False
    return np.packbits(bits).tobytes()
