"""One untrusted video file → clips that every library reads exactly. Run in the sandbox only.

Raw files are hostile: variable rates, rotation tags, edit lists, broken tails, and bytes made to crash
decoders. One pass decodes, cuts, scales, scores and encodes.
"""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer

from core.errors import RejectedError
from pipelines.video.clip_writer import ClipWriter
from pipelines.video.probe import TimedFrame, decode_frames, mean_rate, open_video, rejecting
from pipelines.video.records import ClipRecord
from pipelines.video.scale import Scaler, scene_score
from pipelines.video.settings import ClipSettings

_MAX_GAP_SECONDS = 10
_RATE_DENOMINATOR = 1001


def normalise(path: Path, key: str, settings: ClipSettings, out: Path) -> list[ClipRecord]:
    """Write ``out``/KEY-000.mp4, KEY-000.jpg, KEY-000.1.jpg … and describe each clip.

    Raises RejectedError for a fault of the file, and OSError or av.error.FFmpegError if writing failed.
    """
    rate = mean_rate(path)
    if settings.fps is not None:
        fps = Fraction(settings.fps).limit_denominator(_RATE_DENOMINATOR)
    else:
        fps = min(rate, Fraction(settings.fps_max).limit_denominator(_RATE_DENOMINATOR))
    cutter = _Cutter(out, key, fps, settings)
    with open_video(path) as container:
        for frame, is_new in _scaled_frames(path, container, rate, fps, settings):
            threshold = settings.scene_threshold
            if is_new and threshold is not None and scene_score(frame) >= threshold:
                cutter.end_scene()
            cutter.add(frame)
            if cutter.full:
                break
    if not cutter.frames:
        raise RejectedError("no_frames")
    return cutter.close()


def _scaled_frames(
    path: Path, container: InputContainer, rate: Fraction, fps: Fraction, settings: ClipSettings
) -> Iterator[tuple[av.VideoFrame, bool]]:
    """Upright frames at a constant rate and their final size, each with whether it differs from the last."""
    scaler = Scaler(settings)
    last = None
    for frame in _constant_rate(decode_frames(path, container), rate, fps):
        with rejecting(path, "corrupt"):
            scaled = scaler(frame)
        yield scaled, scaled is not last
        last = scaled


def _constant_rate(frames: Iterator[TimedFrame], rate: Fraction, fps: Fraction) -> Iterator[av.VideoFrame]:
    """For each tick of a clock of ``fps`` the latest frame that is due by then.

    ``rate`` is the source's mean rate: its last frame lasts one period of it.
    """
    tick, end, current = 0, 1, None
    for time, frame in frames:
        due = int(time * fps + Fraction(1, 2))
        if due - tick > _MAX_GAP_SECONDS * fps:
            raise RejectedError(
                "broken_timestamps", f"{float(due - tick) / float(fps):.0f} seconds without a frame"
            )
        while current is not None and tick < due:
            yield current
            tick += 1
        current, end = frame, int((time + 1 / rate) * fps + Fraction(1, 2))
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

    def add(self, frame: av.VideoFrame) -> None:
        """Add a frame to the current clip, or to a new one."""
        if self._clip is None:
            key = f"{self._key}-{len(self._clips):03d}"
            self._clip = ClipWriter(self._out, key, self._fps, self._settings, self.frames)
        self._clip.add(frame)
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
