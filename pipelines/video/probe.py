"""What an untrusted video file declares and contains, by demuxing alone.

Run in the sandbox only: the files are hostile.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition, Stream
from av.video.stream import VideoStream

from core.errors import RejectedError
from pipelines.video.containers import open_video, rejecting
from pipelines.video.endings import is_cut

MAX_PIXELS = 8192 * 8192
# A clock that goes back further than this has restarted, as FFmpeg's program takes it; seconds.
RESTART_SECONDS = Fraction(1, 10)
_MIN_RATE = Fraction(1, 1000)  # frames per second; slower videos are then rejected for their gaps
_DURATION = re.compile(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)")  # Matroska's tag of a stream
_PICTURES = Disposition.attached_pic | Disposition.timed_thumbnails


@dataclass(frozen=True)
class VideoInfo:
    """The stream to read.

    Attributes:
        stream: its index in the container.
        rate: its mean frames per second.
        restarts: whether its clock starts again midway, as in joined recordings.
    """

    stream: int
    rate: Fraction
    restarts: bool


@dataclass
class _Clock:
    """Time stamps of one stream, in parts between restarts of its clock."""

    packets: int = 0
    parts: list[tuple[int, int, int]] = field(default_factory=list)  # packets, first and last stamp
    _decoded: int | None = None

    def add(self, packet: Packet, tolerance: int) -> None:
        """Count a packet; one that is decoded ``tolerance`` before its predecessor begins a new part."""
        self.packets += 1
        stamp = packet.dts if packet.pts is None else packet.pts
        if stamp is None:
            return
        # Times of display go back wherever frames are reordered.
        decoded = packet.dts if packet.dts is not None else self._decoded
        restarted = self._decoded is not None and decoded is not None and decoded < self._decoded - tolerance
        self._decoded = decoded
        if restarted or not self.parts:
            self.parts.append((1, stamp, stamp))
        else:
            count, low, high = self.parts[-1]
            self.parts[-1] = count + 1, min(low, stamp), max(high, stamp)

    def rate(self, time_base: Fraction) -> Fraction | None:
        """Mean packets per second, None for fewer than two times."""
        span = sum(high - low for _, low, high in self.parts) * time_base
        return sum(count - 1 for count, _, _ in self.parts) / span if span else None


def probe(path: Path) -> VideoInfo:
    """The main video stream and its rate. Raises RejectedError if the file is cut or has no video."""
    if is_cut(path):
        raise RejectedError("truncated", "the file ends before its contents do")
    with open_video(path) as container, rejecting(path, "corrupt"):
        _require_video(container)
        clocks, ends = _demux(container)
        stream = _main_stream(container, clocks)
        _require_whole(container, stream, ends)
        index, time_base = stream.index, time_base_of(stream)
        clock = clocks[index]
        # Raw streams may have no time stamps at all.
        average = stream.average_rate or (None if clock.parts else stream.guessed_rate)
    if not clock.packets:
        raise RejectedError("no_frames")
    return VideoInfo(index, _mean_rate(clock, average, time_base), len(clock.parts) > 1)


def time_base_of(stream: Stream) -> Fraction:
    """Seconds of one unit of the stream's timestamps."""
    if stream.time_base is None:
        raise RejectedError("broken_timestamps", "the stream has no time base")
    return stream.time_base


def _mean_rate(clock: _Clock, average: Fraction | None, time_base: Fraction) -> Fraction:
    measured = clock.rate(time_base)
    if average and (measured is None or abs(float(average / measured) - 1) < 0.02):
        return Fraction(average)
    if measured is None:
        raise RejectedError("too_short", "one frame")
    return max(_MIN_RATE, Fraction(measured).limit_denominator(1001))


def _demux(container: InputContainer) -> tuple[dict[int, _Clock], dict[int, tuple[float, float]]]:
    """By index of the streams: the clocks of videos, and when the first packet begins and the last ends."""
    bases = {stream.index: stream.time_base for stream in container.streams if stream.time_base is not None}
    tolerances = {index: int(RESTART_SECONDS / base) for index, base in bases.items()}
    clocks = {stream.index: _Clock() for stream in container.streams.video}
    ends: dict[int, tuple[int, int]] = {}
    for packet in container.demux():
        if not packet.size or packet.stream_index not in bases:
            continue
        index, begin = packet.stream_index, packet.dts if packet.pts is None else packet.pts
        if index in clocks:
            clocks[index].add(packet, tolerances[index])
        if begin is not None:
            end = begin + (packet.duration or 0)
            low, high = ends.get(index, (begin, end))
            ends[index] = min(low, begin), max(high, end)
    seconds = {i: (float(low * bases[i]), float(high * bases[i])) for i, (low, high) in ends.items()}
    return clocks, seconds


def _require_video(container: InputContainer) -> None:
    if not _candidates(container):
        raise RejectedError("no_video_stream")


def _candidates(container: InputContainer) -> list[VideoStream]:
    return [stream for stream in container.streams.video if not stream.disposition & _PICTURES]


def _main_stream(container: InputContainer, clocks: dict[int, _Clock]) -> VideoStream:
    """The stream that FFmpeg's program takes: one with packets, then the largest; the default one counts as
    five megapixels larger (``map_auto_video`` of ffmpeg_mux_init.c)."""

    def score(stream: VideoStream) -> int:
        pixels = stream.width * stream.height if stream.codec_context is not None else 0
        default = bool(stream.disposition & Disposition.default)
        return pixels + 5_000_000 * default + 100_000_000 * bool(clocks[stream.index].packets)

    stream = max(_candidates(container), key=score)  # the first of equals
    if stream.codec_context is None:
        raise RejectedError("unknown_codec")
    if stream.width * stream.height > MAX_PIXELS:
        raise RejectedError("too_large", f"{stream.width}x{stream.height}")
    return stream


def _require_whole(
    container: InputContainer, stream: VideoStream, ends: dict[int, tuple[float, float]]
) -> None:
    """Raise RejectedError (truncated) if packets end long before the container says."""
    # An edit list makes an ISO file shorter than it declares; there is_cut is the test.
    if not ends or "mp4" in container.format.name:
        return
    declared = (container.duration or 0) / 1e6
    _require_until(declared, list(ends.values()))
    # A subtitle may last longer than everything else: it proves nothing about the pictures.
    timed = [
        ends[each.index] for each in container.streams.video + container.streams.audio if each.index in ends
    ]
    if timed and (found := _DURATION.match(stream.metadata.get("DURATION", ""))):
        hours, minutes, seconds = found.groups()
        _require_until(min(declared, 3600 * int(hours) + 60 * int(minutes) + float(seconds)), timed)


def _require_until(declared: float, ends: Sequence[tuple[float, float]]) -> None:
    last = max(high for _, high in ends)
    span = last - min(low for low, _ in ends)
    # Some containers declare the time of the end, from a clock that need not begin at zero.
    if max(span, last) < 0.9 * declared - 1:
        raise RejectedError("truncated", f"{span:.1f} of {declared:.1f} seconds")
