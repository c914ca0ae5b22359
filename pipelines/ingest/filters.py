"""Which clips are turned away for what they look like."""

from typing import Any, Literal

from pydantic import Field, model_validator

from core.config.section import Section
from pipelines.video import ClipScores

RECOMMENDED = {
    "min_seconds": 1.0,
    "min_motion": 0.3,
    "min_brightness": 28.0,
    "max_brightness": 225.0,
    "min_aspect": 0.4,
    "max_aspect": 2.6,
    "max_text": 0.02,
    "duplicate_distance": 12,
}


class FilterConfig(Section):
    """Optional limits; null: no limit. A clip beyond one is rejected for the reason in brackets."""

    like: Literal["none", "recommended"] = Field(
        "none", exclude=True, description="recommended: the limits of docs/data.md where none is given"
    )
    min_seconds: float | None = Field(None, description="shortest clip, seconds (too_short)")
    max_seconds: float | None = Field(None, description="longest clip, seconds (too_long)")
    min_motion: float | None = Field(
        None, description="least mean change of luma in an eighth of a second, 0 to 219 (too_still)"
    )
    max_motion: float | None = Field(None, description="largest such change (too_restless)")
    min_brightness: float | None = Field(
        None, description="least mean luma, 16 (black) to 235 (white) (too_dark)"
    )
    max_brightness: float | None = Field(None, description="largest mean luma (too_bright)")
    min_aspect: float | None = Field(None, description="least width / height (too_narrow)")
    max_aspect: float | None = Field(None, description="largest width / height (too_wide)")
    max_text: float | None = Field(
        None, description="largest share of the picture with overlaid text, 0 to 1 (overlaid_text)"
    )
    max_combing: float | None = Field(
        None,
        ge=0,
        le=1,
        description="largest share of frames that look interlaced without being declared so, 0 to 1 (combed)",
    )
    max_bars: float | None = Field(
        None,
        ge=0,
        le=1,
        description="largest share of the source's picture that dark borders take up, 0 to 1 (bars)",
    )
    duplicate_distance: int | None = Field(
        None,
        ge=0,
        le=31,
        description="clips whose perceptual hashes differ in no more bits of 256 are recorded as duplicates; "
        "none is rejected",
    )

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("like") == "recommended":
            return {**RECOMMENDED, **values, "like": "none"}
        return values

    def reason(self, *, seconds: float, scores: ClipScores) -> str | None:
        """Why a clip is rejected, or None if it is kept."""
        limits = (
            (seconds, self.min_seconds, "too_short", self.max_seconds, "too_long"),
            (scores["motion"], self.min_motion, "too_still", self.max_motion, "too_restless"),
            (scores["brightness"], self.min_brightness, "too_dark", self.max_brightness, "too_bright"),
            (scores["aspect"], self.min_aspect, "too_narrow", self.max_aspect, "too_wide"),
            (scores["text"], None, "", self.max_text, "overlaid_text"),
            (scores.get("combing", 0.0), None, "", self.max_combing, "combed"),
            (scores.get("bars", 0.0), None, "", self.max_bars, "bars"),
        )
        for value, low, below, high, above in limits:
            if low is not None and value < low:
                return below
            if high is not None and value > high:
                return above
        return None
