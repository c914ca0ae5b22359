"""The models that the service answers with, and its limits."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from models.diffusion.settings import Solver
from models.modes import Mode
from orchestration.serving.schema.videos import MadeByBundle

_BUNDLE: JsonDict = {
    "id": "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae",
    "manifest": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "preset": "512",
    "stage": 3,
    "alias": "champion",
}
_EXAMPLE: JsonDict = {
    "object": "list",
    "data": [
        {
            "id": "champion",
            "object": "model",
            "created": 1767225600,
            "owned_by": "animatic",
            "ready": True,
            "bundle": _BUNDLE,
            "limits": {
                "sizes": ["512x320"],
                "min_frames": 1,
                "max_frames": 16,
                "max_steps": 1000,
                "solvers": ["ddim", "dpmpp_2m", "unipc", "sde_dpmpp_2m"],
                "min_motion": 0.05,
                "max_motion": 2.5,
                "modes": ["animate", "interpolate", "loop"],
            },
            "defaults": {
                "size": "512x320",
                "num_frames": 16,
                "fps": 8.0,
                "num_inference_steps": 50,
                "guidance_scale": 7.5,
                "image_guidance_scale": None,
                "eta": 1.0,
                "solver": "ddim",
                "guidance_interval": [0.0, 1.0],
                "guidance_every": 1,
                "cache_every": 1,
                "conditioning_fps": None,
                "motion": None,
            },
        }
    ],
    "limits": {
        "body_bytes": 20_971_520,
        "pixels": 16_000_000,
        "prompt_chars": 2000,
        "queue": 100,
        "keep_hours": 24.0,
        "picture_types": ["image/png", "image/jpeg", "image/webp"],
        "key_required": False,
    },
}


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True)


class ModelLimits(_Answer):
    """What a request may ask of a model."""

    sizes: list[str] = Field(description="WIDTHxHEIGHT")
    min_frames: int
    max_frames: int
    max_steps: int
    solvers: list[Solver]
    min_motion: float | None = Field(
        description="percent of the short side a frame; null: it cannot be asked for"
    )
    max_motion: float | None
    modes: list[Mode]


class SamplingDefaults(_Answer):
    """What a request gets that sets nothing: the operator's values over the model's."""

    size: str
    num_frames: int
    fps: float = Field(description="of the files")
    num_inference_steps: int
    guidance_scale: float
    image_guidance_scale: float | None
    eta: float
    solver: Solver
    guidance_interval: tuple[float, float] = Field(
        description="the operator's, as the two that follow: shares of the noise schedule that are guided"
    )
    guidance_every: int = Field(description="steps of which one computes guidance")
    cache_every: int = Field(description="steps of which one computes the whole network")
    conditioning_fps: float | None
    motion: float | None


class ModelInfo(_Answer):
    """A model under one of its names; with the id of its bundle it can be asked for too."""

    id: str = Field(description="the name to give as model")
    object: Literal["model"] = "model"
    created: int = Field(description="since when it is served, unix seconds")
    owned_by: Literal["animatic"] = "animatic"
    ready: bool = Field(description="whether a replica serves it now")
    bundle: MadeByBundle
    limits: ModelLimits
    defaults: SamplingDefaults


class ServiceLimits(_Answer):
    """Limits of every request."""

    body_bytes: int
    pixels: int = Field(description="width x height of a picture")
    prompt_chars: int
    queue: int = Field(description="videos that may wait")
    keep_hours: float = Field(description="how long content is stored")
    picture_types: list[str]
    key_required: bool = Field(description="whether requests need an API key")


class ModelList(_Answer):
    """The models, the one that is used by default first."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    object: Literal["list"] = "list"
    data: list[ModelInfo]
    limits: ServiceLimits
