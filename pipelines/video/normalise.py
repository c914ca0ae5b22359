"""One untrusted video file → clips that every library reads exactly. Run only in the child of ``video``.

Raw files are hostile: variable rates, rotation tags, edit lists, broken tails, and bytes made to crash
decoders. One pass decodes, cuts, scales, scores and encodes.
"""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

from core.errors import RejectedError
from pipelines.video.clip import Clip, ClipSettings, Watermark
from pipelines.video.probe import blaming, decoded, mean_rate, open_video
from pipelines.video.scale import Scaler, scene_score

__all__ = ["ClipSettings", "Watermark", "normalise"]

MAX_GAP_SECONDS = 10
RATE_DENOMINATOR = 1001


def normalise(path: Path, key: str, settings: ClipSettings, out: Path) -> list[dict[str, Any]]:
    """Write ``out``/KEY-000.mp4, KEY-000.jpg … and describe each clip.

    Raises RejectedError if the file is to blame, and OSError or av.error.FFmpegError if writing failed.
    """
    rate = mean_rate(path)
    if settings.fps is not None:
        fps = Fraction(settings.fps).limit_denominator(RATE_DENOMINATOR)
    else:
        fps = min(rate, Fraction(settings.fps_max).limit_denominator(RATE_DENOMINATOR))
    cutter = _Cutter(out, key, fps, settings)
    with open_video(path) as container:
        for frame, fresh in _upright(path, container, rate, fps, settings):
            threshold = settings.scene_threshold
            if fresh and threshold is not None and scene_score(frame) >= threshold:
                cutter.end_scene()
            cutter.add(frame)
            if cutter.full:
                break
    if not cutter.frames:
        raise RejectedError("no_frames")
    return cutter.close()


def _upright(
    path: Path, container: Any, rate: Fraction, fps: Fraction, settings: ClipSettings
) -> Iterator[tuple[Any, bool]]:
    """Frames of a constant rate at their final size; and whether each is another than the one before."""
    scaler = Scaler(settings)
    last = None
    for frame in _constant_rate(decoded(path, container), rate, fps):
        with blaming(path, "corrupt"):
            upright = scaler(frame)
        yield upright, upright is not last
        last = upright


def _constant_rate(frames: Iterator[tuple[Fraction, Any]], rate: Fraction, fps: Fraction) -> Iterator[Any]:
    """One frame for each tick of a clock of ``fps``: the latest one that falls due by then.

    ``rate`` is the source's mean rate: its last frame is taken to last one period of it.
    """
    tick, end, held = 0, 1, None
    for time, frame in frames:
        due = int(time * fps + Fraction(1, 2))
        if due - tick > MAX_GAP_SECONDS * fps:
            raise RejectedError(
                "broken_timestamps", f"{float(due - tick) / float(fps):.0f} seconds without a frame"
            )
        while held is not None and tick < due:
            yield held
            tick += 1
        held, end = frame, int((time + 1 / rate) * fps + Fraction(1, 2))
    while held is not None and tick < max(1, end):
        yield held
        tick += 1


class _Cutter:
    """Deals frames out to clips: scene by scene, and windows within a scene."""

    def __init__(self, out: Path, key: str, fps: Fraction, settings: ClipSettings) -> None:
        self.frames = 0
        self._out, self._key, self._fps, self._settings = out, key, fps, settings
        self._length = round(settings.clip_seconds * fps) if settings.clip_seconds else None
        self._clip: Clip | None = None
        self._clips: list[dict[str, Any]] = []
        self._usable = self._windows = 0

    @property
    def full(self) -> bool:
        """Whether there are as many clips as are wanted; those too short for use do not count."""
        return self._settings.max_clips is not None and self._usable >= self._settings.max_clips

    def add(self, frame: Any) -> None:
        """Take a frame, into a new clip if there is none in hand."""
        if self._clip is None:
            key = f"{self._key}-{len(self._clips):03d}"
            self._clip = Clip(self._out, key, self._fps, self._settings, self.frames)
        self._clip.add(frame)
        self.frames += 1
        if self._clip.frames == self._length:
            self._finish(self._clip)
            self._windows += 1

    def end_scene(self) -> None:
        """Finish the clip in hand. What is left after full windows is kept only if it is long enough; a
        scene shorter than one window is a clip of its own."""
        windows, self._windows = self._windows, 0
        rest = self._settings.rest_seconds
        if self._clip is None:
            return
        if windows and (rest is None or self._clip.seconds < rest):
            self._discard()
        else:
            self._finish(self._clip)

    def close(self) -> list[dict[str, Any]]:
        """Every clip, once there are no more frames or no more are wanted."""
        if self.full:
            self._discard()
        else:
            self.end_scene()
        return self._clips

    def _finish(self, clip: Clip) -> None:
        self._clips.append(clip.close())
        self._usable += clip.frames >= self._settings.min_frames
        self._clip = None

    def _discard(self) -> None:
        if self._clip is not None:
            self._clip.discard()
            self._clip = None
