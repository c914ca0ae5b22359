"""How videos are cut and encoded: settings, read without the libraries that apply them."""

from typing import Literal, Self

from pydantic import Field, model_validator

from core.config.identity import IdentityFormat
from core.config.section import Section

Box = tuple[float, float, float, float]  # left, top, right, bottom as fractions of a frame


class Watermark(Section):
    """A mark at the same position in every video of a source: a property of the source, not a filter.

    The mark is recorded for each clip in any case.
    """

    box: Box = Field(description="left, top, right, bottom as fractions of the upright frame, with its bars")
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
        """The caption of a clip with the mark."""
        return f"{text}, {self.tag}" if self.action == "tag" else text

    def remainder(self, picture: Box = (0.0, 0.0, 1.0, 1.0)) -> Box:
        """The largest part free of the mark that spans the full width or height of ``picture``, a part of the
        frame."""
        (left, top, right, bottom), (begin, above, end, below) = self.box, picture
        if left >= end or right <= begin or top >= below or bottom <= above:
            return picture
        strips = [
            (begin, above, left, below),
            (right, above, end, below),
            (begin, above, end, top),
            (begin, bottom, end, below),
        ]
        return max(strips, key=lambda strip: max(0, strip[2] - strip[0]) * max(0, strip[3] - strip[1]))


class Rung(Section):
    """A further encoding of every clip, at another size or rate, made from the same decoded frames."""

    short_side: int = Field(ge=16, multiple_of=2, description="pixels")
    fps: float | None = Field(
        None, ge=0.1, le=240, description="frames per second, at most the clip's; null: the clip's"
    )

    @property
    def name(self) -> str:
        """What its files are called: 512, or 512x8 with a rate of its own."""
        return str(self.short_side) if self.fps is None else f"{self.short_side}x{self.fps:g}"


# The settings that a clip's record contains, and so the bytes of a shard.
RECORDED_WATERMARK = IdentityFormat({"": ("box", "action", "tag")})


class ClipSettings(Section):
    """How clips are cut and encoded."""

    short_side: int = Field(256, ge=16, multiple_of=2, description="of every clip, pixels")
    small: Literal["keep", "enlarge", "reject"] = Field(
        "keep", description="what happens to videos with a shorter side"
    )
    ladder: list[Rung] = Field(
        [],
        max_length=8,
        description="further encodings of every clip, as KEY.512.mp4 and KEY.512x8.mp4; small decides about "
        "those larger than the video",
    )
    fps: float | None = Field(
        None, ge=0.1, le=240, description="frames per second of every clip; null: the video's, up to fps_max"
    )
    fps_max: float = Field(30.0, ge=0.1, description="frames per second; faster videos lose frames")
    hold_seconds: float = Field(
        10.0,
        gt=0,
        le=3600,
        description="the longest that one frame may be displayed, seconds; else broken_timestamps",
    )
    max_hours: float = Field(
        12.0, gt=0, le=1000, description="of source videos; longer ones are rejected as source_too_long"
    )
    hdr: Literal["tone_map", "reject"] = Field(
        "tone_map", description="what happens to videos of high dynamic range (PQ, HLG)"
    )
    tone_curve: Literal["hable", "mobius", "reinhard", "clip"] = Field(
        "hable", description="FFmpeg's curve by which high dynamic range is compressed"
    )
    tone_peak: float = Field(
        1000.0, gt=100, le=10000, description="cd/m² that become white, of high dynamic range"
    )
    untagged: Literal["auto", "bt601", "bt709"] = Field(
        "auto",
        description="matrix of videos that declare none; auto: bt709 from 1280 columns or 720 "
        "lines on, else bt601",
    )
    untagged_range: Literal["auto", "limited", "full"] = Field(
        "auto", description="range of videos that declare none; auto: as FFmpeg takes it, mostly limited"
    )
    interlaced: Literal["deinterlace", "keep", "reject"] = Field(
        "deinterlace", description="what happens to frames that the video declares as interlaced"
    )
    deinterlacer: Literal["bwdif", "yadif"] = Field(
        "bwdif", description="FFmpeg's filter that makes pictures of fields"
    )
    bars: Literal["keep", "crop", "reject"] = Field(
        "keep", description="what happens to dark borders of the picture, as of letterboxed videos"
    )
    measure_bars: bool = Field(False, description="score the share of the picture that such borders take up")
    measure_combing: bool = Field(
        False, description="score the share of frames that look interlaced without being declared so"
    )
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
    seed: int = Field(0, ge=-(2**63), le=2**63 - 1, description="of the drawn still images")

    @model_validator(mode="after")
    def _distinct_rungs(self) -> Self:
        names = [rung.name for rung in self.ladder]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"ladder has {name} more than once")
        if str(self.short_side) in names:
            raise ValueError(f"ladder has {self.short_side}, which is the clip itself: leave it out")
        return self
