"""One untrusted video file → clips that every library reads exactly. Run in the sandbox only.

Raw files are hostile: variable rates, rotation tags, edit lists, fields, pixels that are not square, broken
tails, and bytes made to crash decoders. One pass decodes, cuts, scales, scores and encodes.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

from core.errors import RejectedError
from pipelines.video.bars import BarsBySize, find_bars
from pipelines.video.containers import rejecting
from pipelines.video.cutter import Cutter, SpanCutter, TimeSpan
from pipelines.video.fields import deinterlaced, with_combs
from pipelines.video.records import ClipRecord
from pipelines.video.scale import Picture, Scaler, scene_score
from pipelines.video.settings import ClipSettings
from pipelines.video.source_frames import Source, SourceFrame, read_source
from pipelines.video.spread_frames import spread_frames

_RATE_DENOMINATOR = 1001
_STEP_SECONDS = 60  # of video, between two reports of progress


def normalise(
    path: Path,
    key: str,
    settings: ClipSettings,
    out: Path,
    progress: Callable[[], None] = lambda: None,
    spans: Sequence[TimeSpan] = (),
) -> list[ClipRecord]:
    """Write ``out``/KEY-000.mp4, KEY-000.jpg, KEY-000.1.jpg … and describe each clip.

    ``progress`` is called after each minute of video. Clips are cut from each of ``spans`` (seconds from the
    first frame), or from the whole video if there are none. Raises RejectedError for a fault of the file, and
    OSError or av.error.FFmpegError if writing failed.
    """
    source = read_source(path)
    bars = _bars(path, source, settings, progress)
    if settings.fps is not None:
        fps = Fraction(settings.fps).limit_denominator(_RATE_DENOMINATOR)
    else:
        fps = min(source.rate, Fraction(settings.fps_max).limit_denominator(_RATE_DENOMINATOR))
    cutter: Cutter | SpanCutter = Cutter(out, key, fps, settings)
    if spans:
        cutter = SpanCutter(out, key, fps, settings, spans)
    last: Picture | None = None
    for picture in _scaled_pictures(path, source, fps, settings, bars):
        if last is not None and picture is not last and _is_cut(picture, last, settings):
            cutter.end_scene()
        last = picture
        cutter.add(picture)
        if cutter.full:
            break
        if cutter.frames % math.ceil(_STEP_SECONDS * fps) == 0:
            progress()
    if not cutter.frames:
        raise RejectedError("no_frames")
    return cutter.close()


def _is_cut(picture: Picture, last: Picture, settings: ClipSettings) -> bool:
    """Whether a clip ends between two pictures: at an abrupt change if that is configured, and always where
    one of their sizes changes, as a clip has one of each."""
    threshold = settings.scene_threshold
    resized = (picture.size, picture.rung_sizes) != (last.size, last.rung_sizes)
    return resized or (threshold is not None and scene_score(picture) >= threshold)


def _bars(path: Path, source: Source, settings: ClipSettings, progress: Callable[[], None]) -> BarsBySize:
    """The bars of the video, none unless the settings need them. Raises RejectedError (bars)."""
    if settings.bars == "keep" and not settings.measure_bars:
        return {}
    with rejecting(path, "corrupt"):
        found = find_bars(spread_frames(path, source.info, settings.max_hours, progress))
    for (width, height), bars in found.items():
        if bars and settings.bars == "reject":
            detail = f"left {bars.left}, top {bars.top}, right {bars.right}, bottom {bars.bottom}"
            raise RejectedError("bars", f"{detail} of {width}x{height} pixels")
    return found


def _scaled_pictures(
    path: Path, source: Source, fps: Fraction, settings: ClipSettings, bars: BarsBySize
) -> Iterator[Picture]:
    """Upright pictures at a constant rate and their final size; the same object while a frame is held."""
    scaler = Scaler(path, settings, bars)
    frames = _progressive(path, source.frames, settings)
    if settings.measure_combing:
        frames = with_combs(path, frames)
    for frame in _constant_rate(frames, source.rate, fps, settings):
        yield scaler(frame)


def _progressive(path: Path, frames: Iterator[SourceFrame], settings: ClipSettings) -> Iterator[SourceFrame]:
    """The frames without fields, as the settings want them. Raises RejectedError (interlaced)."""
    if settings.interlaced == "deinterlace":
        return deinterlaced(path, frames, settings.deinterlacer)
    if settings.interlaced == "reject":
        return _without_interlaced(frames)
    return frames


def _without_interlaced(frames: Iterator[SourceFrame]) -> Iterator[SourceFrame]:
    for frame in frames:
        if frame.frame.interlaced_frame:
            raise RejectedError("interlaced", f"the frame at {float(frame.time):.1f} seconds")
        yield frame


def _constant_rate(
    frames: Iterator[SourceFrame], rate: Fraction, fps: Fraction, settings: ClipSettings
) -> Iterator[SourceFrame]:
    """For each tick of a clock of ``fps`` the latest frame that is due by then.

    ``rate`` is the source's mean rate: its last frame lasts one period of it.
    """
    tick, end, current = 0, 1, None
    longest = settings.max_hours * 3600 * fps
    for frame in frames:
        due = int(frame.time * fps + Fraction(1, 2))
        if due - tick > settings.hold_seconds * fps:
            raise RejectedError(
                "broken_timestamps",
                f"{float(due - tick) / float(fps):.0f} seconds without a frame, more than hold_seconds",
            )
        if due > longest:
            raise RejectedError("source_too_long", f"more than {settings.max_hours:g} hours (max_hours)")
        while current is not None and tick < due:
            yield current
            tick += 1
        current, end = frame, int((frame.time + 1 / rate) * fps + Fraction(1, 2))
    while current is not None and tick < max(1, end):
        yield current
        tick += 1
