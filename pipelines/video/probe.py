"""What an untrusted video file declares, what it contains, and its frames one by one.

Run in the sandbox only: the files are hostile.
"""

import contextlib
import math
import resource
import struct
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from core.errors import RejectedError

_FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,flv,asf,ogg"
_MAX_PIXELS = 8192 * 8192
_MIN_RATE = Fraction(1, 1000)  # frames per second; slower videos are then rejected for their gaps
_MEMORY_MARGIN = 512 << 20  # bytes, more than most frames of _MAX_PIXELS take
_ISO_STARTS = {b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"}


class TimedFrame(NamedTuple):
    """A decoded frame, ``time`` seconds after the first one."""

    time: Fraction
    frame: av.VideoFrame


@contextlib.contextmanager
def rejecting(path: Path, reason: str) -> Iterator[None]:
    """Turn decoding errors into a RejectedError; FileNotFoundError is not the file's fault and passes."""
    try:
        yield
    except FileNotFoundError:
        raise
    except (MemoryError, av.error.FFmpegError, ValueError) as error:
        # Some decoders report invalid data when memory for a frame cannot be allocated.
        if isinstance(error, MemoryError) or _short_of_memory():
            raise RejectedError("decoder_memory", "decoding it takes more than decoder_memory") from error
        raise RejectedError("truncated" if _is_cut(path) else reason, type(error).__name__) from error


def open_video(path: Path) -> InputContainer:
    """The file as a PyAV container. Raises RejectedError if it is not a video."""
    # Playlists and similar formats could make the decoder open other files.
    options = {"format_whitelist": _FORMATS, "protocol_whitelist": "file"}
    with rejecting(path, "not_a_video"):
        return av.open(str(path), container_options=options)


def mean_rate(path: Path) -> Fraction:
    """Mean frames per second, by demuxing alone. Raises RejectedError if the file is cut."""
    if _is_cut(path):
        raise RejectedError("truncated", "the file ends before its contents do")
    with open_video(path) as container, rejecting(path, "corrupt"):
        stream = _video_stream(container)
        times, low, high = [], math.inf, -math.inf
        for packet in container.demux():
            stamp = packet.dts if packet.pts is None else packet.pts
            if packet.size and stamp is not None:
                seconds = float(stamp * packet.time_base)
                low, high = min(low, seconds), max(high, seconds)
                if packet.stream_index == stream.index:
                    times.append(stamp)
        # An edit list makes an ISO file shorter than it declares; there _is_cut is the test.
        declared = 0 if "mp4" in container.format.name else (container.duration or 0) / av.time_base
        average, time_base = stream.average_rate, _time_base(stream)
    if not times:
        raise RejectedError("no_frames")
    if high - low < 0.9 * declared - 1:
        raise RejectedError("truncated", f"{high - low:.1f} of {declared:.1f} seconds")
    span = (max(times) - min(times)) * time_base
    measured = (len(times) - 1) / span if span else None
    if average and (measured is None or abs(float(average / measured) - 1) < 0.02):
        return Fraction(average)
    if measured is None:
        raise RejectedError("too_short", "one frame")
    return max(_MIN_RATE, Fraction(measured).limit_denominator(1001))


def decode_frames(path: Path, container: InputContainer) -> Iterator[TimedFrame]:
    """Every frame of the video. Raises RejectedError where one is damaged or too large."""
    with rejecting(path, "corrupt"):
        stream = _video_stream(container)
        time_base = _time_base(stream)
    start = last = None
    frames = container.decode(stream)
    while True:
        with rejecting(path, "corrupt"):
            frame = next(frames, None)
        if frame is None:
            return
        if frame.is_corrupt:
            raise RejectedError("corrupt", "damaged frame")
        if frame.width * frame.height > _MAX_PIXELS:
            raise RejectedError("too_large", f"{frame.width}x{frame.height}")
        pts = frame.pts if frame.pts is not None else (0 if last is None else last + 1)
        start = pts if start is None else start
        last = pts
        yield TimedFrame((pts - start) * time_base, frame)


def _video_stream(container: InputContainer) -> VideoStream:
    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic:
            if stream.codec_context is None:
                raise RejectedError("unknown_codec")
            if stream.width * stream.height > _MAX_PIXELS:
                raise RejectedError("too_large", f"{stream.width}x{stream.height}")
            stream.codec_context.thread_count = 1
            return stream
    raise RejectedError("no_video_stream")


def _time_base(stream: VideoStream) -> Fraction:
    """Seconds of one unit of the stream's timestamps."""
    if stream.time_base is None:
        raise RejectedError("broken_timestamps", "the stream has no time base")
    return stream.time_base


def _short_of_memory() -> bool:
    """Whether this process came so close to its memory limit that another frame might not fit."""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return False
    status = Path("/proc/self/status").read_text()
    peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmPeak:"))
    return limit - peak * 1024 < _MEMORY_MARGIN


def _is_cut(path: Path) -> bool:
    """Whether an ISO media file ends before its boxes do, or has no index at all."""
    size, position, kinds = path.stat().st_size, 0, set()
    with path.open("rb") as file:
        while position + 8 <= size:
            file.seek(position)
            length, kind = struct.unpack(">I4s", file.read(8))
            if position == 0 and kind not in _ISO_STARTS:
                return False
            if length == 1:
                length = int.from_bytes(file.read(8), "big")
            kinds.add(kind)
            if length == 0:
                break
            if length < 8:
                return False
            position += length
    return bool(kinds) and (position > size or b"moov" not in kinds)
