"""How a clip is sampled. Imports no torch: commands and configurations read it before any model is built."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Spacing = Literal["uniform", "uniform_trailing"]


class SamplingSettings(BaseModel):
    """How a clip is sampled; the defaults are general ones for any animator."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: int = Field(50, ge=1, le=1000)
    eta: float = Field(1.0, ge=0, le=1, description="0: deterministic DDIM; 1: ancestral noise")
    text_guidance: float = Field(7.5, ge=0)
    image_guidance: float | None = Field(
        None, ge=0, description="null: text and image are guided together, with text_guidance"
    )
    guidance_rescale: float = Field(0.0, ge=0, le=1, description="arXiv:2305.08891, section 3.4")
    spacing: Spacing = "uniform_trailing"
    fps: float | None = Field(None, gt=0, description="frame rate (256 model: stride) given to the network")
    seed: int = 0
    precision: Literal["float32", "bfloat16"] = "float32"
