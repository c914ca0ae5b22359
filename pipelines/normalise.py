"""One untrusted video file → clips that every library reads exactly. Run only in the child of ``video``.

Raw files are hostile: variable rates, rotation tags, edit lists, broken tails, and bytes made to crash
decoders. Each clip written here has a constant frame rate, square even pixels, a closed group of pictures
a second, no B-frames and so no edit list, and bytes that depend on the input and the settings alone.
"""

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
    """Write ``out``/KEY-000.mp4, KEY-000.jpg … and describe each clip. Raises RejectedError."""
    try:
        rate = _probe(path)
        fps = min(rate, Fraction(settings.fps_max).limit_denominator(1001))
        return list(_clips(path, key, fps, settings, out))
    except (av.error.FFmpegError, MemoryError) as error:
        raise RejectedError("truncated" if _cut_off(path) else "corrupt", type(error).__name__) from error


def _open(path: Path) -> Any:
    try:
        # Playlists and the like could make the decoder open other files: only real containers get in.
        options = {"format_whitelist": FORMATS, "protocol_whitelist": "file"}
        container = av.open(str(path), container_options=options)
    except (av.error.FFmpegError, ValueError) as error:
        raise RejectedError("truncated" if _cut_off(path) else "not_a_video", type(error).__name__) from error
    return container


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
    with _open(path) as container:
        stream = _video_stream(container)
        packets = [packet for packet in container.demux(stream) if packet.size]
        times = [packet.pts for packet in packets if packet.pts is not None]
        promised, declared = stream.frames, container.duration
        average, base = stream.average_rate, stream.time_base
    if not packets:
        raise RejectedError("truncated" if promised else "no_frames")
    if len(packets) < promised or _cut_off(path):
        raise RejectedError("truncated", f"{len(packets)} of {promised} frames" if promised else "")
    span = (max(times) - min(times)) * base if len(times) > 1 else Fraction(0)
    if not promised and declared and float(span) < 0.9 * declared / av.time_base - 1:
        raise RejectedError("truncated", f"{float(span):.1f} of {declared / av.time_base:.1f} seconds")
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
            if position == 0 and kind != b"ftyp":
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


def _decoded(container: Any, stream: Any) -> Iterator[tuple[Fraction, Any]]:
    """Every frame with its time in seconds from the first one."""
    start = last = None
    for frame in container.decode(stream):
        if frame.is_corrupt:
            raise RejectedError("corrupt", "damaged frame")
        if frame.width * frame.height > MAX_PIXELS:
            raise RejectedError("too_large", f"{frame.width}x{frame.height}")
        pts = frame.pts if frame.pts is not None else (0 if last is None else last + 1)
        start = pts if start is None else start
        last = pts
        yield (pts - start) * stream.time_base, frame


def _constant_rate(frames: Iterator[tuple[Fraction, Any]], fps: Fraction) -> Iterator[Any]:
    """One frame for each tick of the clock: the latest one that falls due by then."""
    tick, held = 0, None
    for time, frame in frames:
        due = int(time * fps + Fraction(1, 2))
        if due - tick > MAX_GAP_SECONDS * fps:
            raise RejectedError(
                "broken_timestamps", f"{float(due - tick) / float(fps):.0f} seconds without a frame"
            )
        while held is not None and tick < due:
            yield held
            tick += 1
        held = frame
    if held is not None:
        yield held


def _clips(
    path: Path, key: str, fps: Fraction, settings: ClipSettings, out: Path
) -> Iterator[dict[str, Any]]:
    length = round(settings.clip_seconds * fps) if settings.clip_seconds else None
    clip, done = None, 0
    with _open(path) as container:
        scaler = Scaler(settings.short_side)
        for frame in _constant_rate(_decoded(container, _video_stream(container)), fps):
            if clip is None:
                clip = Clip(out, f"{key}-{done:03d}", fps, settings, tick=done * (length or 0))
            clip.add(scaler(frame))
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
        """Finish both files; describes the clip. ``reason`` is there if the clip is too short."""
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
