"""One untrusted video file → clips that every library reads exactly. Run only in the child of ``video``.

Raw files are hostile: variable rates, rotation tags, edit lists, broken tails, and bytes made to crash
decoders. Each clip written here has a constant frame rate, square even pixels, a closed group of pictures
a second, no B-frames and so no edit list, and bytes that depend on the input and the settings alone.
"""

import contextlib
import math
import random
import struct
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.stream import Disposition
from av.video.frame import PictureType
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field

from pipelines.filters import Scores
from pipelines.rejection import RejectedError
from pipelines.scale import Scaler, rgb_pixels

FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,flv,asf,ogg"
MAX_PIXELS = 8192 * 8192
MAX_GAP_SECONDS = 10
ISO_STARTS = {b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"}
BT601, LIMITED = 6, 1


class ClipSettings(BaseModel):
    """How clips are cut and encoded."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    short_side: int = Field(256, ge=16, multiple_of=2)  # pixels; smaller sources keep their size
    fps_max: float = Field(30.0, gt=0)
    min_frames: int = Field(16, ge=1)
    clip_seconds: float | None = Field(None, gt=0)  # cut windows of this length; None keeps the whole video
    max_clips: int | None = Field(None, ge=1, le=999)
    crf: int = Field(20, ge=0, le=51)
    preset: str = "veryfast"
    jpeg_quality: int = Field(95, ge=1, le=100)
    seed: int = 0


def normalise(path: Path, key: str, settings: ClipSettings, out: Path) -> list[dict[str, Any]]:
    """Write ``out``/KEY-000.mp4, KEY-000.jpg … and describe each clip.

    Raises RejectedError if the file is to blame, and OSError or av.error.FFmpegError if writing failed.
    """
    with _blaming(path, "corrupt"):
        rate = _probe(path)
    return list(_clips(path, key, rate, settings, out))


@contextlib.contextmanager
def _blaming(path: Path, reason: str) -> Iterator[None]:
    """Reject the file for what its decoder cannot do; a file that went away is not to blame."""
    try:
        yield
    except FileNotFoundError:
        raise
    except MemoryError as error:
        raise RejectedError("too_large", "out of memory") from error
    except (av.error.FFmpegError, ValueError) as error:
        raise RejectedError("truncated" if _cut_off(path) else reason, type(error).__name__) from error


def _open(path: Path) -> Any:
    # Playlists and the like could make the decoder open other files: only real containers get in.
    options = {"format_whitelist": FORMATS, "protocol_whitelist": "file"}
    with _blaming(path, "not_a_video"):
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


def _probe(path: Path) -> Fraction:
    """Mean frame rate by demuxing alone; raises RejectedError if the file holds less than it promises."""
    if _cut_off(path):
        raise RejectedError("truncated", "the file ends before its contents do")
    with _open(path) as container:
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
    return Fraction(measured).limit_denominator(1001)


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


def _decoded(path: Path, container: Any) -> Iterator[tuple[Fraction, Any]]:
    """Every frame with its time in seconds from the first one."""
    stream = _video_stream(container)
    start = last = None
    decoded = container.decode(stream)
    while True:
        with _blaming(path, "corrupt"):
            frame = next(decoded, None)
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
    if held is not None and tick < max(1, end):
        yield held


def _clips(
    path: Path, key: str, rate: Fraction, settings: ClipSettings, out: Path
) -> Iterator[dict[str, Any]]:
    fps = min(rate, Fraction(settings.fps_max).limit_denominator(1001))
    length = round(settings.clip_seconds * fps) if settings.clip_seconds else None
    clip, done = None, 0
    with _open(path) as container:
        scaler = Scaler(settings.short_side)
        for frame in _constant_rate(_decoded(path, container), rate, fps):
            if clip is None:
                clip = Clip(out, f"{key}-{done:03d}", fps, settings, tick=done * (length or 0))
            with _blaming(path, "corrupt"):
                upright = scaler(frame)
            clip.add(upright)
            if clip.frames == length:
                yield clip.close()
                clip, done = None, done + 1
                if done == settings.max_clips:
                    return
    if clip is None and not done:
        raise RejectedError("no_frames")
    if clip is not None:
        rest = clip.close()
        # The remainder after full windows is dropped; a video shorter than one window is a clip of its own.
        if not done:
            yield rest


class Clip:
    """One clip while it is encoded: its mp4, its scores, and one frame drawn at random."""

    def __init__(self, out: Path, key: str, fps: Fraction, settings: ClipSettings, tick: int) -> None:
        self.frames = 0
        self._key, self._fps, self._settings, self._start = key, fps, settings, tick / fps
        self._scores = Scores(float(fps))
        self._draw = random.Random(f"{settings.seed}:{key}:condition")
        self._path = out / key
        self._file: Any = None
        self._stream: Any = None
        self._drawn: tuple[int, Any] | None = None

    def add(self, frame: Any) -> None:
        """Take the next frame, in yuv420p at its final size."""
        if self._file is None:
            self._begin(frame.width, frame.height)
        # Drawing without knowing the number of frames: the n-th replaces the choice with probability 1/n.
        if self._draw.random() * (self.frames + 1) < 1:
            self._drawn = (self.frames, frame)
        plane = frame.planes[0]
        luma = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)[:, : frame.width]
        self._scores.add(luma)
        frame.pts, frame.time_base, frame.pict_type = self.frames, 1 / self._fps, PictureType.NONE
        self._file.mux(self._stream.encode(frame))
        self.frames += 1

    def close(self) -> dict[str, Any]:
        """Finish both files; describes the clip."""
        self._file.mux(self._stream.encode(None))
        self._file.close()
        assert self._drawn is not None
        index, frame = self._drawn
        rgb = rgb_pixels(frame)
        Image.fromarray(rgb).save(
            self._path.with_suffix(".jpg"), quality=self._settings.jpeg_quality, subsampling=0
        )
        return {
            "key": self._key,
            "start": round(float(self._start), 6),
            "duration": round(float(self.frames / self._fps), 6),
            "fps": float(self._fps),
            "frames": self.frames,
            "width": rgb.shape[1],
            "height": rgb.shape[0],
            "condition_frame": index,
            "scores": {"motion": self._scores.motion, "brightness": self._scores.brightness},
        }

    def _begin(self, width: int, height: int) -> None:
        options = {"movflags": "+faststart", "fflags": "+bitexact", "use_editlist": "0"}
        self._file = av.open(str(self._path.with_suffix(".mp4")), "w", container_options=options)
        keyint = max(1, round(self._fps))
        params = f"keyint={keyint}:min-keyint={keyint}:scenecut=0:open-gop=0:bframes=0:threads=1"
        encoding = {"crf": str(self._settings.crf), "preset": self._settings.preset, "tune": "fastdecode"}
        stream = self._file.add_stream(
            "libx264", rate=self._fps, options={**encoding, "x264-params": params, "flags": "+cgop+bitexact"}
        )
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        context = stream.codec_context
        context.time_base, context.thread_count = 1 / self._fps, 1
        context.colorspace, context.color_range = BT601, LIMITED
        self._stream = stream
