"""Bars: dark borders of a picture, as letterboxed and pillarboxed video has them, found before it is cut.

They are looked for on frames spread over the whole file, and are the same for all of its clips: lines that
are dark in every one of these frames, evenly so, and that end in a straight edge along the picture. A dark
scene has no such edge, and a frame without bars, or with thinner ones, leaves only what all frames share.
Coloured and blurred borders are not found.

FFmpeg's cropdetect takes the mean of a line, so that a night sky and a fade are bars to it.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import av
import numpy as np
import numpy.typing as npt

from pipelines.video.graph import EXACT, filter_graph
from pipelines.video.orientation import display_matrix, orientation

Size = tuple[int, int]  # (width, height)
_Luma = npt.NDArray[np.uint8]

FRAMES = 24  # that are looked at
DARK = 24  # luma of black is 16; what exceeds this is no bar
BRIGHT = 28  # luma, what the picture must exceed along the edge of a bar
OUTLIERS = 0.02  # of a line's pixels may be brighter, as by noise
STRAIGHT = 0.6  # of the pixels along a bar must be brighter than it right behind its edge
NOISY = 16  # lines behind the edge of a picture, a block of most codecs, into which it may spill
SPILLED, QUIET = 0.3, 20  # share of brighter pixels of such a line at most, and its mean luma
EDGE = 4  # lines over which an edge may be blurred
EVEN = 4.0  # luma levels, between the means of a bar's lines
LEAST, MOST = 0.01, 0.8  # of the picture's side, of one bar and of both
FILLED = 0.5  # of the picture between bars must be brighter than they are at some time: titles are not
MIRRORED = 0.04  # of the side: a bar this thick may have text in the one opposite


@dataclass(frozen=True)
class Bars:
    """Widths of the bars of an upright picture, in pixels.

    Attributes:
        share: of the picture that they take up, 0 to 1.
    """

    left: int
    top: int
    right: int
    bottom: int
    share: float

    def __bool__(self) -> bool:
        return self.share > 0


BarsBySize = Mapping[Size, Bars]
NO_BARS: BarsBySize = {}


def find_bars(frames: Iterable[av.VideoFrame]) -> BarsBySize:
    """The bars of upright pictures of each size among these frames. Raises as decoding does.

    Frames in colours that cannot be converted are passed over: scaling rejects them by name.
    """
    seen: dict[Size, _Seen] = {}
    for luma in map(_upright_luma, frames):
        if luma is None:
            continue
        size = luma.shape[1], luma.shape[0]
        seen.setdefault(size, _Seen(luma.shape)).add(luma)
    return {size: pictures.bars() for size, pictures in seen.items()}


class _Seen:
    """What pictures of one size have in common."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._peak = np.zeros(shape, np.uint8)
        self._row_sums, self._column_sums = np.zeros(shape[0]), np.zeros(shape[1])
        self._dark_rows, self._dark_columns = np.ones(shape[0]), np.ones(shape[1])
        self._count = 0

    def add(self, luma: _Luma) -> None:
        dark = luma <= DARK
        self._peak = np.maximum(self._peak, luma)
        self._row_sums += luma.mean(1)
        self._column_sums += luma.mean(0)
        self._dark_rows = np.minimum(self._dark_rows, dark.mean(1))
        self._dark_columns = np.minimum(self._dark_columns, dark.mean(0))
        self._count += 1

    def bars(self) -> Bars:
        height, width = self._peak.shape
        rows = _Lines(self._peak, self._row_sums / self._count, self._dark_rows)
        columns = _Lines(self._peak.T, self._column_sums / self._count, self._dark_columns)
        top, bottom = rows.pair(columns.between())
        left, right = columns.pair(rows.between())
        # The crop begins and ends at even pixels: most files store colours for blocks of two by two.
        left, top = left + left % 2, top + top % 2
        inside = self._peak[top : height - bottom, left : width - right]
        if (
            min(inside.shape[0] / height, inside.shape[1] / width) < 1 - MOST
            or _share(inside > BRIGHT) < FILLED
        ):
            return Bars(0, 0, 0, 0, 0.0)
        share = 1 - (width - left - right) * (height - top - bottom) / (width * height)
        return Bars(left, top, right, bottom, share)


@dataclass(frozen=True)
class _Lines:
    """Rows from the top, or columns from the left, of all pictures together.

    Attributes:
        peak: largest luma of each pixel over time, (lines, pixels of a line).
        mean: mean luma of each line.
        dark: least share of dark pixels of each line in any picture.
    """

    peak: _Luma
    mean: npt.NDArray[np.float64]
    dark: npt.NDArray[np.float64]

    def between(self) -> slice:
        """The lines between the dark ones at both ends."""
        return slice(self._dark_lines(), max(1, len(self.peak) - self._reversed()._dark_lines()))

    def pair(self, across: slice) -> tuple[int, int]:
        """Thickness of the bars before the first and after the last line of the picture; ``across``: the
        picture's part of a line."""
        reverse = self._reversed()
        before, after = self._bar(across), reverse._bar(across)
        least = MIRRORED * len(self.peak)
        if before > max(least, after + EDGE):
            after = reverse._with_text(before, across) or after
        elif after > max(least, before + EDGE):
            before = self._with_text(after, across) or before
        return before, after

    def _bar(self, across: slice) -> int:
        """Thickness of the bar before the picture, 0 if there is none."""
        lines = len(self.peak)
        thickness = self._dark_lines()
        if thickness < max(2, LEAST * lines) or thickness == lines or not self._ends_at(thickness, across):
            return 0
        levels = self.mean[: max(1, thickness - 2)]
        if levels.max() - levels.min() > EVEN:
            return 0
        return thickness + self._blurred(thickness)

    def _with_text(self, mirrored: int, across: slice) -> int:
        """Thickness of a bar with lines of text, about as thick as the one opposite; 0 if there is none."""
        end = self.peak.shape[1] // 10
        blank = self._blank() | self._nearly_blank()
        for thickness in range(mirrored + EDGE, mirrored - EDGE - 1, -1):
            ends = np.hstack([self.peak[:thickness, :end], self.peak[:thickness, -end:]])
            if (
                blank[thickness - 2 : thickness].all()
                and self._ends_at(thickness, across)
                and (ends > DARK).mean() <= OUTLIERS
                and self.dark[:thickness].min() >= 0.5
            ):
                return thickness + self._blurred(thickness)
        return 0

    def _dark_lines(self) -> int:
        """How many lines are dark before the picture, those included into which its edge is spilled."""
        lines = _leading(self._blank())
        return lines + _leading(self._nearly_blank()[lines : lines + NOISY])

    def _nearly_blank(self) -> npt.NDArray[np.bool_]:
        nearly: npt.NDArray[np.bool_] = ((self.peak > DARK).mean(1) <= SPILLED) & (self.mean <= QUIET)
        return nearly

    def _blank(self) -> npt.NDArray[np.bool_]:
        """Which lines are dark in every picture."""
        blank: npt.NDArray[np.bool_] = (self.peak > DARK).mean(1) <= OUTLIERS
        return blank

    def _ends_at(self, thickness: int, across: slice) -> bool:
        """Whether the picture begins in one straight line there."""
        inside = self.peak[thickness : thickness + EDGE, across]
        return bool(inside.size) and float((inside.max(0) > BRIGHT).mean()) >= STRAIGHT

    def _blurred(self, thickness: int) -> int:
        """Lines of a blurred edge that are more of the bar than of the picture."""
        level = float(self.mean[:thickness].min())
        behind = self.mean[thickness : thickness + EDGE + 1]
        return int(np.argmax(behind - level >= (behind[-1] - level) / 2))

    def _reversed(self) -> "_Lines":
        return _Lines(self.peak[::-1], self.mean[::-1], self.dark[::-1])


def _share(flags: npt.NDArray[np.bool_]) -> float:
    return float(flags.mean()) if flags.size else 0.0


def _leading(flags: npt.NDArray[np.bool_]) -> int:
    """How many are set before the first that is not."""
    return len(flags) if flags.all() else int(np.argmin(flags))  # all of none are set


def _upright_luma(frame: av.VideoFrame) -> _Luma | None:
    """Luma of limited range, [height, width] of the picture as it is displayed; None if no filter reads
    its colours."""
    turn = orientation(display_matrix(frame))
    try:
        graph = filter_graph(frame, [*turn.filters, f"scale={EXACT}:out_range=tv", "format=yuv420p"])
    except (NotImplementedError, av.error.ArgumentError):
        return None
    graph.vpush(frame)
    plane = graph.vpull().planes[0]
    luma = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
    return luma[:, : plane.width].copy()


def spread(count: int, frames: int = FRAMES) -> Iterator[int]:
    """Which of ``count`` frames are looked at: ``frames`` of them, each in the middle of an equal part."""
    for part in range(min(count, frames)):
        yield (2 * part + 1) * count // (2 * min(count, frames))
