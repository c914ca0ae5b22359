"""One clip while it is written: its mp4, its scores, and frames drawn from it at random.

Each clip has a constant frame rate, square even pixels, a closed group of pictures a second, no B-frames
and so no edit list, and bytes that depend on the input and the settings alone.
"""

import random
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, Self

import av
import numpy as np
from av.video.frame import PictureType
from PIL import Image
from pydantic import Field, model_validator

from core.config.identity import IdentityFormat
from core.config.section import Section
from pipelines.video.scale import rgb_pixels
from pipelines.video.scores import Scores

BT601, LIMITED = 6, 1


class Watermark(Section):
    """A mark at the same position in every video of a source: a property of the source, not a filter.

    The mark is recorded for each clip in any case.
    """

    box: tuple[float, float, float, float] = Field(
        description="left, top, right, bottom as fractions of the upright frame"
    )
    action: Literal["keep", "crop", "tag"] = Field(
        "keep",
        description="keep: record it only; crop: keep the largest strip beside the box; tag: name it in the "
        "caption",
    )
    tag: str = Field("watermark", description="what action tag appends to the caption, after a comma")

    @model_validator(mode="after")
    def _inside(self) -> Self:
        left, top, right, bottom = self.box
        if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
            raise ValueError("must be left, top, right, bottom as fractions of the frame, left < right")
        if self.action == "crop" and max(left, 1 - right, top, 1 - bottom) < 0.25:
            raise ValueError("leaves less than a quarter of the frame on every side: keep or tag it instead")
        return self

    def caption(self, text: str) -> str:
        """The caption of a clip that bears the mark."""
        return f"{text}, {self.tag}" if self.action == "tag" else text

    def remainder(self) -> tuple[float, float, float, float]:
        """The largest part of the frame that spans it and is free of the mark, as a box."""
        left, top, right, bottom = self.box
        strips = [
            (0.0, 0.0, left, 1.0),
            (right, 0.0, 1.0, 1.0),
            (0.0, 0.0, 1.0, top),
            (0.0, bottom, 1.0, 1.0),
        ]
        return max(strips, key=lambda strip: (strip[2] - strip[0]) * (strip[3] - strip[1]))


# What a clip's description records, and so the bytes of a shard.
RECORDED_WATERMARK = IdentityFormat({"": ("box", "action", "tag")})


class ClipSettings(Section):
    """How clips are cut and encoded."""

    short_side: int = Field(256, ge=16, multiple_of=2, description="of every clip, pixels")
    small: Literal["keep", "enlarge", "reject"] = Field(
        "keep", description="what happens to videos with a shorter side"
    )
    fps: float | None = Field(
        None, ge=0.1, le=240, description="frames per second of every clip; null: the video's, up to fps_max"
    )
    fps_max: float = Field(30.0, ge=0.1, description="frames per second; faster videos lose frames")
    min_frames: int = Field(16, ge=1, description="frames; shorter clips are rejected as too_short")
    scene_threshold: float | None = Field(
        None,
        gt=0,
        le=100,
        description="cut where the picture changes by this score, 10 is a good value; null: do not cut",
    )
    clip_seconds: float | None = Field(
        None, gt=0, description="cut scenes into windows of this length, seconds; null: keep them whole"
    )
    rest_seconds: float | None = Field(
        None, gt=0, description="keep the rest after the last window if it lasts this long, seconds"
    )
    max_clips: int | None = Field(None, ge=1, le=999, description="clips of one video; null: all")
    condition_frames: int = Field(1, ge=1, le=16, description="still images drawn from each clip")
    watermark: Watermark | None = None
    crf: int = Field(20, ge=0, le=51, description="x264's constant rate factor; 0: lossless")
    preset: str = Field("veryfast", description="x264's preset")
    jpeg_quality: int = Field(95, ge=1, le=100, description="of the still images")
    seed: int = Field(0, description="of the drawn still images")


class Clip:
    """Takes frames one by one; ``close`` describes what was written to ``out``/KEY.mp4 and KEY.jpg."""

    def __init__(self, out: Path, key: str, fps: Fraction, settings: ClipSettings, tick: int) -> None:
        self.frames = 0
        self._key, self._fps, self._settings, self._start = key, fps, settings, tick / fps
        self._scores = Scores(float(fps))
        self._draw = random.Random(f"{settings.seed}:{key}:condition")
        self._path = out / key
        self._file: Any = None
        self._stream: Any = None
        self._drawn: list[tuple[int, Any]] = []

    @property
    def seconds(self) -> float:
        """Length so far."""
        return float(self.frames / self._fps)

    def add(self, frame: Any) -> None:
        """Take the next frame, in yuv420p at its final size."""
        if self._file is None:
            self._begin(frame.width, frame.height)
        self._maybe_draw(frame)
        if self._scores.wants_next():
            plane = frame.planes[0]
            luma = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
            self._scores.add(luma[:, : frame.width])
        else:
            self._scores.skip()
        frame.pts, frame.time_base, frame.pict_type = self.frames, 1 / self._fps, PictureType.NONE
        self._file.mux(self._stream.encode(frame))
        self.frames += 1

    def close(self) -> dict[str, Any]:
        """Finish the files; describes the clip."""
        self._file.mux(self._stream.encode(None))
        self._file.close()
        drawn = [(index, rgb_pixels(frame)) for index, frame in self._drawn]
        for number, (_, rgb) in enumerate(drawn):
            name = f"{self._path.name}.{number}.jpg" if number else f"{self._path.name}.jpg"
            quality = self._settings.jpeg_quality
            Image.fromarray(rgb).save(self._path.with_name(name), quality=quality, subsampling=0)
        height, width = drawn[0][1].shape[:2]
        scores = self._scores
        about: dict[str, Any] = {
            "key": self._key,
            "start": round(float(self._start), 6),
            "duration": round(self.seconds, 6),
            "fps": float(self._fps),
            "frames": self.frames,
            "width": width,
            "height": height,
            "condition_frame": drawn[0][0],
            "condition_frames": [index for index, _ in drawn],
            "scores": {
                "motion": scores.motion,
                "brightness": scores.brightness,
                "text": scores.text,
                "aspect": round(width / height, 4),
            },
            "phash": scores.phash,
        }
        if self._settings.watermark is not None:
            about["watermark"] = RECORDED_WATERMARK.values(self._settings.watermark)
        return about

    def discard(self) -> None:
        """Give the clip up and delete what was written."""
        if self._file is not None:
            self._file.close()
            self._path.with_suffix(".mp4").unlink(missing_ok=True)  # begun only with its first packet

    def _maybe_draw(self, frame: Any) -> None:
        # Drawing without knowing the number of frames: the n-th replaces one of k with probability k/n.
        wanted = self._settings.condition_frames
        place = int(self._draw.random() * (self.frames + 1))
        if len(self._drawn) < wanted:
            self._drawn.append((self.frames, frame))
        elif place < wanted:
            self._drawn[place] = (self.frames, frame)

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
