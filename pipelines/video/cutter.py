"""Where clips begin and end: at scenes, windows and given spans of time."""

import itertools
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

from pipelines.video.clip_writer import ClipWriter
from pipelines.video.records import ClipRecord
from pipelines.video.scale import Picture
from pipelines.video.settings import ClipSettings

TimeSpan = tuple[float, float]  # seconds from the first frame of the video


class Cutter:
    """Distributes frames to clips: scene by scene, and windows within a scene."""

    def __init__(
        self,
        out: Path,
        key: str,
        fps: Fraction,
        settings: ClipSettings,
        tick: int = 0,
        numbers: Iterator[int] | None = None,
    ) -> None:
        """``tick`` is that of the first frame; ``numbers`` those of the clips, from 0 if None."""
        self.frames, self._numbers = tick, numbers
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
            number = len(self._clips) if self._numbers is None else next(self._numbers)
            key = f"{self._key}-{number:03d}"
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


class SpanCutter:
    """Distributes frames to the clips of spans, which may overlap: each is cut as a video of its own.

    Attributes:
        frames: number of frames so far, those between the spans included.
    """

    def __init__(
        self, out: Path, key: str, fps: Fraction, settings: ClipSettings, spans: Sequence[TimeSpan]
    ) -> None:
        self.frames = 0
        self._out, self._key, self._fps, self._settings = out, key, fps, settings
        ticks = [(_tick(start, fps), _tick(end, fps)) for start, end in spans]
        self._ends = [max(end, start + 1) for start, end in ticks]
        # The last is the next to begin.
        self._waiting = sorted(((start, number) for number, (start, _) in enumerate(ticks)), reverse=True)
        self._open: dict[int, Cutter] = {}
        self._done: dict[int, list[ClipRecord]] = {}
        self._numbers = itertools.count()

    @property
    def full(self) -> bool:
        """Whether every span has ended, or has the wanted number of clips."""
        return not (self._waiting or self._open)

    def add(self, picture: Picture) -> None:
        """Add a picture to the spans at its time."""
        while self._waiting and self._waiting[-1][0] <= self.frames:
            _, span = self._waiting.pop()
            self._open[span] = Cutter(
                self._out, self._key, self._fps, self._settings, self.frames, self._numbers
            )
        for cutter in self._open.values():
            cutter.add(picture)
        self.frames += 1
        for span, cutter in list(self._open.items()):
            if self._ends[span] <= self.frames or cutter.full:
                self._end(span)

    def end_scene(self) -> None:
        """End the current clip of every span."""
        for cutter in self._open.values():
            cutter.end_scene()

    def close(self) -> list[ClipRecord]:
        """Every clip in the order of the spans, once there are no more frames or no more are wanted."""
        for span in list(self._open):
            self._end(span)
        return [{**clip, "span": span} for span in sorted(self._done) for clip in self._done[span]]

    def _end(self, span: int) -> None:
        self._done[span] = self._open.pop(span).close()


def _tick(seconds: float, fps: Fraction) -> int:
    return int(Fraction(seconds) * fps + Fraction(1, 2))
