"""What an untrusted video file claims to hold, what it does hold, and its frames one by one.

Run only in the child of ``video``: the files are hostile.
"""

import contextlib
import math
import resource
import struct
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.stream import Disposition

from core.errors import RejectedError

FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,flv,asf,ogg"
MAX_PIXELS = 8192 * 8192
SLOWEST_S = 1000  # a rate below one frame in as many seconds counts as that; it is refused for its gaps
NEAR_LIMIT = 512 << 20  # bytes, more than most frames of as many pixels
ISO_STARTS = {b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"}


@contextlib.contextmanager
def blaming(path: Path, reason: str) -> Iterator[None]:
    """Reject the file for what its decoder cannot do; a file that went away is not to blame."""
    try:
        yield
    except FileNotFoundError:
        raise
    except (MemoryError, av.error.FFmpegError, ValueError) as error:
        # Some decoders call it invalid data when they get no memory for a frame.
        if isinstance(error, MemoryError) or _short_of_memory():
            raise RejectedError("decoder_memory", "decoding it takes more than decoder_memory") from error
        raise RejectedError("truncated" if _cut_off(path) else reason, type(error).__name__) from error


def _short_of_memory() -> bool:
    """Whether this process came so near to the limit of its memory that another frame might not fit."""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return False
    status = Path("/proc/self/status").read_text()
    peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmPeak:"))
    return limit - peak * 1024 < NEAR_LIMIT


def open_video(path: Path) -> Any:
    """The file as a PyAV container. Raises RejectedError if it is none."""
    # Playlists and the like could make the decoder open other files: only real containers get in.
    options = {"format_whitelist": FORMATS, "protocol_whitelist": "file"}
    with blaming(path, "not_a_video"):
        return av.open(str(path), container_options=options)


def _video_stream(container: Any) -> Any:
    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic:
            if stream.codec_context is None:
                raise RejectedError("unknown_codec")
            if stream.width * stream.height > MAX_PIXELS:
                raise RejectedError("too_large", f"{stream.width}x{stream.height}")
            stream.codec_context.thread_count = 1
            return stream
    raise RejectedError("no_video_stream")


def mean_rate(path: Path) -> Fraction:
    """Mean frame rate by demuxing alone; raises RejectedError if the file holds less than it promises."""
    if _cut_off(path):
        raise RejectedError("truncated", "the file ends before its contents do")
    with open_video(path) as container, blaming(path, "corrupt"):
        stream = _video_stream(container)
        times, low, high = [], math.inf, -math.inf
        for packet in container.demux():
            stamp = packet.dts if packet.pts is None else packet.pts
            if packet.size and stamp is not None:
                seconds = float(stamp * packet.time_base)
                low, high = min(low, seconds), max(high, seconds)
                if packet.stream_index == stream.index:
                    times.append(stamp)
        # An edit list makes an ISO file show less than it declares; there _cut_off is the test.
        declared = 0 if "mp4" in container.format.name else (container.duration or 0) / av.time_base
        average, base = stream.average_rate, stream.time_base
    if not times:
        raise RejectedError("no_frames")
    if high - low < 0.9 * declared - 1:
        raise RejectedError("truncated", f"{high - low:.1f} of {declared:.1f} seconds")
    span = (max(times) - min(times)) * base
    measured = (len(times) - 1) / span if span else None
    if average and (measured is None or abs(float(average / measured) - 1) < 0.02):
        return Fraction(average)
    if measured is None:
        raise RejectedError("too_short", "one frame")
    return max(Fraction(1, SLOWEST_S), Fraction(measured).limit_denominator(1001))


def _cut_off(path: Path) -> bool:
    """Whether an ISO media file ends before its boxes do, or has no index at all."""
    size, position, kinds = path.stat().st_size, 0, set()
    with path.open("rb") as file:
        while position + 8 <= size:
            file.seek(position)
            length, kind = struct.unpack(">I4s", file.read(8))
            if position == 0 and kind not in ISO_STARTS:
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


def decoded(path: Path, container: Any) -> Iterator[tuple[Fraction, Any]]:
    """Every frame with its time in seconds from the first one."""
    with blaming(path, "corrupt"):
        stream = _video_stream(container)
    start = last = None
    frames = container.decode(stream)
    while True:
        with blaming(path, "corrupt"):
            frame = next(frames, None)
        if frame is None:
            return
        if frame.is_corrupt:
            raise RejectedError("corrupt", "damaged frame")
        if frame.width * frame.height > MAX_PIXELS:
            raise RejectedError("too_large", f"{frame.width}x{frame.height}")
        pts = frame.pts if frame.pts is not None else (0 if last is None else last + 1)
        start = pts if start is None else start
        last = pts
        yield (pts - start) * stream.time_base, frame
