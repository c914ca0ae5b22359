"""The frames of an untrusted video with their times, whatever it is stored in.

Run in the sandbox only: the files are hostile.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from core.errors import RejectedError
from pipelines.video.containers import open_video, rejecting
from pipelines.video.probe import MAX_PIXELS, RESTART_SECONDS, VideoInfo, probe, time_base_of
from pipelines.video.webp import is_webp, webp_frames


@dataclass(frozen=True, eq=False)
class SourceFrame:
    """One decoded frame.

    Attributes:
        time: seconds after the first frame.
        frame: the picture as it is stored.
        sample_aspect: width / height of a pixel.
        deinterlaced: whether it was made from two fields.
        combed: whether it looks as if it contained two fields; None if that was not measured.
    """

    time: Fraction
    frame: av.VideoFrame
    sample_aspect: Fraction = Fraction(1)
    deinterlaced: bool = False
    combed: bool | None = None


@dataclass(frozen=True)
class Source:
    """A video to be read once: its mean frames per second, and its frames in the order of their times.

    Attributes:
        info: what it declares; None for WebP.
    """

    rate: Fraction
    frames: Iterator[SourceFrame]
    info: VideoInfo | None = None


def read_source(path: Path) -> Source:
    """The video in a file. Raises RejectedError, as do its frames, for a fault of the file."""
    if is_webp(path):
        rate, timed = webp_frames(path)
        return Source(rate, (SourceFrame(time, frame) for time, frame in timed))
    info = probe(path)
    return Source(info.rate, decoded_frames(path, info), info)


def decoded_frames(path: Path, info: VideoInfo) -> Iterator[SourceFrame]:
    """Every frame. Raises RejectedError where one is damaged or too large."""
    with open_video(path) as container:
        with rejecting(path, "corrupt"):
            stream = stream_of(container, info)
            clock = _FrameClock(time_base_of(stream), info)
            aspect = _SampleAspect(stream)
            frames = container.decode(stream)
        while True:
            with rejecting(path, "corrupt"):
                frame = next(frames, None)
            if frame is None:
                return
            if frame.is_corrupt:
                raise RejectedError("corrupt", "damaged frame")
            if frame.width * frame.height > MAX_PIXELS:
                raise RejectedError("too_large", f"{frame.width}x{frame.height}")
            yield SourceFrame(clock.time(frame), frame, aspect.of(frame))


def stream_of(container: InputContainer, info: VideoInfo) -> VideoStream:
    """The stream to read, whose decoder has one thread."""
    stream = next(each for each in container.streams.video if each.index == info.stream)
    stream.codec_context.thread_count = 1
    return stream


class _FrameClock:
    """Times of successive frames; a frame without one is displayed one period after the last."""

    def __init__(self, time_base: Fraction, info: VideoInfo) -> None:
        self._time_base, self._period, self._restarts = time_base, 1 / info.rate, info.restarts
        self._start: Fraction | None = None
        self._last = Fraction(0)

    def time(self, frame: av.VideoFrame) -> Fraction:
        """Seconds after the first frame."""
        following = self._last + self._period if self._start is not None else Fraction(0)
        if frame.pts is None:
            self._start = self._start if self._start is not None else Fraction(0)
            self._last = following
            return following
        stamp = frame.pts * self._time_base
        if self._start is None:
            self._start = stamp
        if self._restarts and stamp - self._start < self._last - RESTART_SECONDS:
            self._start = stamp - following
        self._last = stamp - self._start
        return self._last


class _SampleAspect:
    """The sample aspect of successive frames: the container's, else that of the coded stream, which may
    change midway. One that is not positive is unknown and counts as square."""

    def __init__(self, stream: VideoStream) -> None:
        self._codec = stream.codec_context
        declared, coded = stream.sample_aspect_ratio, self._codec.sample_aspect_ratio
        self._container = declared if declared != coded else None
        self._last: Fraction | None = None

    def of(self, frame: av.VideoFrame) -> Fraction:
        # The decoder is ahead of its frames; another aspect is that of the next key frame.
        if self._last is None or frame.key_frame:
            aspect = self._container or self._codec.sample_aspect_ratio
            self._last = aspect if aspect is not None and aspect > 0 else Fraction(1)
        return self._last
