"""One untrusted video file → clips that every library reads exactly. Run in the sandbox only.

Raw files are hostile: variable rates, rotation tags, edit lists, fields, pixels that are not square, broken
tails, and bytes made to crash decoders. One pass decodes, cuts, scales, scores and encodes.
"""

import math
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

from core.errors import RejectedError
from pipelines.video.clip_writer import ClipWriter
from pipelines.video.containers import rejecting
from pipelines.video.fields import deinterlaced, with_combs
from pipelines.video.records import ClipRecord
from pipelines.video.scale import Picture, Scaler, scene_score
from pipelines.video.settings import ClipSettings
from pipelines.video.source_frames import Source, SourceFrame, read_source

_RATE_DENOMINATOR = 1001
_STEP_SECONDS = 60  # of video, between two reports of progress


def normalise(
    path: Path, key: str, settings: ClipSettings, out: Path, progress: Callable[[], None] = lambda: None
) -> list[ClipRecord]:
    """Write ``out``/KEY-000.mp4, KEY-000.jpg, KEY-000.1.jpg … and describe each clip.

    ``progress`` is called after each minute of video. Raises RejectedError for a fault of the file, and
    OSError or av.error.FFmpegError if writing failed.
    """
    source = read_source(path)
    if settings.fps is not None:
        fps = Fraction(settings.fps).limit_denominator(_RATE_DENOMINATOR)
    else:
        fps = min(source.rate, Fraction(settings.fps_max).limit_denominator(_RATE_DENOMINATOR))
    cutter = _Cutter(out, key, fps, settings)
    last: Picture | None = None
    for picture in _scaled_pictures(path, source, fps, settings):
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
    their size changes, as a clip has one."""
    threshold = settings.scene_threshold
    return picture.size != last.size or (threshold is not None and scene_score(picture) >= threshold)


def _scaled_pictures(path: Path, source: Source, fps: Fraction, settings: ClipSettings) -> Iterator[Picture]:
    """Upright pictures at a constant rate and their final size; the same object while a frame is held."""
    scaler = Scaler(settings)
    frames = _progressive(path, source.frames, settings)
    if settings.measure_combing:
        frames = with_combs(path, frames)
    for frame in _constant_rate(frames, source.rate, fps, settings):
        with rejecting(path, "corrupt"):
            picture = scaler(frame)
        yield picture


def _progressive(path: Path, frames: Iterator[SourceFrame], settings: ClipSettings) -> Iterator[SourceFrame]:
    """The frames without fields, as the settings want them. Raises RejectedError (interlaced)."""
    if settings.interlaced == "deinterlace":
        return deinterlaced(path, frames)
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


class _Cutter:
    """Distributes frames to clips: scene by scene, and windows within a scene."""

    def __init__(self, out: Path, key: str, fps: Fraction, settings: ClipSettings) -> None:
        self.frames = 0
        self._out, self._key, self._fps, self._settings = out, key, fps, settings
        self._length = round(settings.clip_seconds * fps) if settings.clip_seconds else None
        self._clip: ClipWriter | None = None
        self._clips: list[ClipRecord] = []
        self._usable = self._windows = 0

    @property
    def full(self) -> bool:
        """Whether the wanted number of clips is reached; clips that are too short do not count."""
        return self._settings.max_clips is not None and self._usable >= self._settings.max_clips

    def add(self, picture: Picture) -> None:
        """Add a picture to the current clip, or to a new one."""
        if self._clip is None:
            key = f"{self._key}-{len(self._clips):03d}"
            self._clip = ClipWriter(self._out, key, self._fps, self._settings, self.frames)
        self._clip.add(picture)
        self.frames += 1
        if self._clip.frames == self._length:
            self._finish(self._clip)
            self._windows += 1

    def end_scene(self) -> None:
        """End the current clip. What remains after full windows is kept only if it is long enough; a scene
        shorter than one window is a clip of its own."""
        windows, self._windows = self._windows, 0
        rest = self._settings.rest_seconds
        if self._clip is None:
            return
        if windows and (rest is None or self._clip.seconds < rest):
            self._discard()
        else:
            self._finish(self._clip)

    def close(self) -> list[ClipRecord]:
        """Every clip, once there are no more frames or no more are wanted."""
        if self.full:
            self._discard()
        else:
            self.end_scene()
        return self._clips

    def _finish(self, clip: ClipWriter) -> None:
        self._clips.append(clip.close())
        self._usable += clip.frames >= self._settings.min_frames
        self._clip = None

    def _discard(self) -> None:
        if self._clip is not None:
            self._clip.discard()
            self._clip = None
