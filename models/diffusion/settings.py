"""How a clip is sampled. Imports no torch: commands and configurations read it before any model is built."""

from typing import Literal

from pydantic import ConfigDict, Field

from core.config.section import Section

Spacing = Literal["uniform", "uniform_trailing"]

# Torch takes 64 bits, of which numbering the clips of a batch takes 20: see models.animate.
MAX_SEED = 2**44 - 1


class SamplingSettings(Section):
    """How a clip is sampled; the defaults are general ones for any animator."""

    model_config = ConfigDict(allow_inf_nan=False)

    steps: int = Field(50, ge=1, le=1000, description="evaluations of the network")
    eta: float = Field(1.0, ge=0, le=1, description="0: deterministic DDIM; 1: ancestral noise")
    text_guidance: float = Field(7.5, ge=0, description="scale of guidance by the text; 1: none")
    image_guidance: float | None = Field(
        None,
        ge=0,
        description="scale of guidance by the image; null: text and image together, with text_guidance",
    )
    guidance_rescale: float = Field(
        0.0, ge=0, le=1, description="share of the rescaled prediction (arXiv:2305.08891, section 3.4)"
    )
    spacing: Spacing = Field(
        "uniform_trailing", description="timesteps visited: uniform from the first, or up to the last"
    )
    fps: float | None = Field(
        None, gt=0, le=1000, description="frame rate (256 model: stride) given to the network"
    )
    seed: int = Field(0, ge=0, le=MAX_SEED, description="of the noise")
    precision: Literal["float32", "bfloat16"] = Field("float32", description="of the network's arithmetic")
