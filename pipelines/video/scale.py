"""Decoded frames → upright frames of square pixels, of one size and colour space.

They have the same bits on every machine.
"""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av

from core.errors import RejectedError
from pipelines.video.bars import NO_BARS, Bars, BarsBySize
from pipelines.video.colour import Colour, colour_of
from pipelines.video.containers import rejecting
from pipelines.video.orientation import display_matrix, orientation
from pipelines.video.probe import MAX_PIXELS
from pipelines.video.records import Conversions
from pipelines.video.settings import ClipSettings, Rung
from pipelines.video.source_frames import SourceFrame
from pipelines.video.stored_colours import Conversion
from pipelines.video.tone_map import FFMPEG_TONE

_MAX_SIDE = 16384  # pixels, of what x264 encodes
_MAX_SAMPLE_ASPECT = 100  # wider or taller pixels are a damaged header


Size = tuple[int, int]  # (width, height)


def _no_rung(number: int) -> av.VideoFrame:
    raise IndexError(f"the ladder has no rung {number}")


@dataclass(frozen=True, eq=False)
class Picture:
    """A scaled frame in yuv420p.

    Attributes:
        frame: the pixels.
        conversions: what was changed of the source's picture.
        combed: of the source frame, see :class:`~pipelines.video.source_frames.SourceFrame`.
        bars: share of the source's picture that bars take up; None if it was not measured.
        rung_sizes: (width, height) at each further size of the ladder, None for one that is skipped.
        rung: the same frame at a further size, by its number; raises RejectedError.
    """

    frame: av.VideoFrame
    conversions: Conversions
    combed: bool | None
    bars: float | None = None
    rung_sizes: tuple[Size | None, ...] = ()
    rung: Callable[[int], av.VideoFrame] = _no_rung

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)."""
        return self.frame.width, self.frame.height


class _Kind(NamedTuple):
    """What decides how a frame is scaled; compared for each frame, so it holds what frames have at hand."""

    width: int
    height: int
    pixel_format: str
    matrix: int
    range: int
    transfer: int
    primaries: int
    display_matrix: tuple[int, ...] | None
    sample_aspect: Fraction
    deinterlaced: bool

    @classmethod
    def of(cls, source: SourceFrame) -> "_Kind":
        frame = source.frame
        shape = frame.width, frame.height, frame.format.name
        coding = frame.colorspace, frame.color_range, frame.color_trc, frame.color_primaries
        turn = display_matrix(frame)
        return cls(*shape, *coding, turn, source.sample_aspect, source.deinterlaced)


class Scaler:
    """Turns frames upright and scales them to yuv420p, with a watermark cropped off if that is configured; if
    scenes are detected, each frame is compared with the one before it.
    """

    def __init__(self, path: Path, settings: ClipSettings, bars: BarsBySize = NO_BARS) -> None:
        """``path`` is that of the video, ``bars`` its bars by the size of its upright frames."""
        self._path, self._settings, self._bars = path, settings, bars
        self._kind: _Kind | None = None
        self._steps: _Steps | None = None
        self._last: tuple[SourceFrame, Picture] | None = None

    def __call__(self, source: SourceFrame) -> Picture:
        """The scaled frame; for the same frame as last time, the same result.

        Raises RejectedError for a frame that is damaged or cannot be converted.
        """
        if self._last is not None and self._last[0] is source:
            return self._last[1]
        with rejecting(self._path, "corrupt"):
            kind = _Kind.of(source)
            if self._steps is None or kind != self._kind:
                self._steps, self._kind = _Steps(source.frame, kind, self._settings, self._bars), kind
            frame = self._steps(source.frame)
        steps = self._steps

        @functools.cache
        def rung(number: int) -> av.VideoFrame:
            # Not every rung has every frame.
            with rejecting(self._path, "corrupt"):
                return steps.rung(number, source.frame)

        picture = Picture(frame, steps.conversions, source.combed, steps.bars_share, steps.rung_sizes, rung)
        self._last = (source, picture)
        return picture


class _Steps:
    """Filters for frames of one kind.

    Attributes:
        conversions: what they change.
        bars_share, rung_sizes: see :class:`Picture`.
    """

    def __init__(
        self, frame: av.VideoFrame, kind: _Kind, settings: ClipSettings, bars_by_size: BarsBySize
    ) -> None:
        bars = bars_by_size.get(_upright_size(kind))
        self.bars_share = (bars.share if bars is not None else 0.0) if settings.measure_bars else None
        cropped = bars if bars and settings.bars == "crop" else None
        width, height, self._filters = _upright(kind, settings, cropped)
        size = _target(width, height, settings.short_side, settings)
        self._colour = colour_of(frame, settings)
        self.conversions = _conversions(kind, self._colour, cropped, settings)
        self.rung_sizes = tuple(_rung_size(width, height, rung, settings) for rung in settings.ladder)
        scenes = [] if settings.scene_threshold is None else ["scdet=threshold=100"]
        self._clip = Conversion(frame, self._filters, size, self._colour, scenes)
        self._rungs: dict[int, Conversion] = {}

    def __call__(self, frame: av.VideoFrame) -> av.VideoFrame:
        """The scaled frame."""
        return self._clip(frame)

    def rung(self, number: int, frame: av.VideoFrame) -> av.VideoFrame:
        """The frame at a further size."""
        size = self.rung_sizes[number]
        assert size is not None
        if number not in self._rungs:
            self._rungs[number] = Conversion(frame, self._filters, size, self._colour, [])
        return self._rungs[number](frame)


def scene_score(picture: Picture) -> float:
    """How much a scaled frame differs from the one before, 0–100, as FFmpeg's scdet filter measures it."""
    return float(picture.frame.metadata.get("lavfi.scd.score", 0))


def _upright_size(kind: _Kind) -> Size:
    """Of the whole picture, in stored pixels."""
    sideways = orientation(kind.display_matrix).sideways
    return (kind.height, kind.width) if sideways else (kind.width, kind.height)


def _upright(kind: _Kind, settings: ClipSettings, bars: Bars | None) -> tuple[float, float, list[str]]:
    """Width and height of the upright picture in square pixels, and the filters that turn and crop it."""
    turn = orientation(kind.display_matrix)
    width, height = _upright_size(kind)
    aspect = kind.sample_aspect
    if not 1 / _MAX_SAMPLE_ASPECT <= aspect <= _MAX_SAMPLE_ASPECT:
        raise RejectedError("unsupported_aspect", f"pixels of {aspect.numerator}:{aspect.denominator}")
    crop, width, height = _crop(width, height, settings, bars)
    # The stored lines are kept, and their pixels multiplied: DVDs have 640x480 or 1024x576 square ones.
    across, down = (1.0, float(aspect)) if turn.sideways else (float(aspect), 1.0)
    return width * across, height * down, [*turn.filters, *crop]


def _crop(width: int, height: int, settings: ClipSettings, bars: Bars | None) -> tuple[list[str], int, int]:
    """Filters that leave the part without bars and without the watermark, and its size."""
    mark = settings.watermark
    if mark is None or mark.action != "crop":
        if bars is None:
            return [], width, height
        # Even, as the offsets are.
        w, h = (width - bars.left - bars.right) // 2 * 2, (height - bars.top - bars.bottom) // 2 * 2
        return [f"crop={w}:{h}:{bars.left}:{bars.top}:exact=1"], w, h
    picture = (0.0, 0.0, 1.0, 1.0)
    if bars is not None:
        picture = (
            bars.left / width,
            bars.top / height,
            1 - bars.right / width,
            1 - bars.bottom / height,
        )
    left, top, right, bottom = mark.remainder(picture)
    # Even offsets and sizes: most files store colours for blocks of two by two pixels.
    x, y = (2 * math.ceil(low * side / 2) for low, side in ((left, width), (top, height)))
    w, h = (
        max(2, int(high * side - at) // 2 * 2) for high, side, at in ((right, width, x), (bottom, height, y))
    )
    return [f"crop={w}:{h}:{x}:{y}:exact=1"], w, h


def _rung_size(width: float, height: float, rung: Rung, settings: ClipSettings) -> Size | None:
    """(width, height) of a further encoding, None if it is skipped. Raises RejectedError as _target does."""
    if min(width, height) < rung.short_side and settings.small == "keep":
        return None
    return _target(width, height, rung.short_side, settings)


def _target(width: float, height: float, short_side: int, settings: ClipSettings) -> Size:
    """(width, height) of clips from frames of this size. Raises RejectedError: too_small, too_large."""
    short = min(width, height)
    if short < short_side and settings.small == "reject":
        raise RejectedError("too_small", f"{round(width)}x{round(height)}")
    scale = short_side / short
    if settings.small != "enlarge":
        scale = min(1.0, scale)
    size = max(2, 2 * round(width * scale / 2)), max(2, 2 * round(height * scale / 2))
    if size[0] * size[1] > MAX_PIXELS or max(size) > _MAX_SIDE:
        raise RejectedError("too_large", f"{size[0]}x{size[1]} in square pixels")
    return size


def _conversions(kind: _Kind, colour: Colour, bars: Bars | None, settings: ClipSettings) -> Conversions:
    done: Conversions = {}
    if bars is not None:
        done["bars"] = [bars.left, bars.top, bars.right, bars.bottom]
    aspect = kind.sample_aspect
    if aspect != 1:
        done["sample_aspect"] = f"{aspect.numerator}:{aspect.denominator}"
    if kind.deinterlaced:
        done["deinterlaced"] = settings.deinterlacer
    if colour.matrix is not None:
        done["matrix"] = colour.matrix
    if colour.range is not None:
        done["range"] = colour.range
    if colour.transfer != "sdr":
        done["hdr"] = colour.transfer
        if colour.tone != FFMPEG_TONE:
            done["tone"] = f"{colour.tone.curve}, peak {settings.tone_peak:g}"
    if colour.primaries != "bt709":
        done["gamut"] = colour.primaries
    return done
