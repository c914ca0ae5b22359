"""The fields of a request for a video, without its pictures, and their validation."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from core.config.keys import nearest
from models.diffusion.settings import MAX_SEED, Solver
from models.motion import MOST_MOTION
from orchestration.serving.schema.errors import ApiError

PICTURES = ("input_reference", "last_reference")
_LONGEST_INPUT = 60
# Fields of similar APIs, whose names are near to none of ours, or near to a wrong one.
_ELSEWHERE = {
    "seconds": "num_frames is the length in frames, fps their rate",
    "image": "the picture is input_reference",
    "image_url": "the picture is input_reference",
    "n": "each request makes one video",
    "user": "the name of an API key is the owner of its videos",
}


class VideoRequest(BaseModel):
    """A request for a video, without its pictures. Fields that are not set are decided by the operator or the
    model."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    prompt: str = Field("", description="what happens in the clip", examples=["waves roll onto the beach"])
    model: str | None = Field(
        None,
        max_length=100,
        description="champion, challenger or the id of a bundle, of which 8 digits are enough; the first "
        "model of GET /v1/models if not set",
        examples=["champion"],
    )
    loop: bool = Field(False, description="the clip ends at its own beginning")
    size: str | None = Field(
        None,
        pattern=r"^[1-9]\d{0,4}x[1-9]\d{0,4}$",
        description="WIDTHxHEIGHT in pixels, one of the model's sizes",
        examples=["512x320"],
    )
    num_frames: int | None = Field(None, ge=1, le=10_000, description="frames of the clip", examples=[16])
    fps: float | None = Field(
        None,
        ge=0.1,
        le=1000,
        description="frames per second of the files; the operator's if not set",
        examples=[8],
    )
    num_inference_steps: int | None = Field(
        None, ge=1, le=1000, description="evaluations of the network", examples=[50]
    )
    guidance_scale: float | None = Field(
        None, ge=0, description="scale of guidance by the text; 1: none", examples=[7.5]
    )
    image_guidance_scale: float | None = Field(
        None, ge=0, description="scale of guidance by the picture; not set: text and picture together"
    )
    eta: float | None = Field(
        None, ge=0, le=1, description="noise of DDIM, 0: none, 1: ancestral", examples=[1.0]
    )
    solver: Solver | None = Field(
        None, description="DDIM, or a solver that needs fewer steps", examples=["dpmpp_2m"]
    )
    conditioning_fps: float | None = Field(
        None,
        gt=0,
        le=1000,
        description="frame rate (256 model: stride) given to the network: lower moves more",
    )
    motion: float | None = Field(
        None,
        ge=0,
        le=MOST_MOTION,
        description="how far what is in the picture moves, percent of the short side a frame, within the "
        "model's limits",
        examples=[0.5],
    )
    seed: int | None = Field(
        None, ge=0, le=MAX_SEED, description="of the noise; drawn at random if not set", examples=[42]
    )


def parse_json(fields: Mapping[str, object]) -> VideoRequest:
    """The request in a JSON object, whose pictures were taken out. Types are strict; null is as not set.

    Raises:
        ApiError: ``unknown_parameter`` or ``invalid_request``, with the field.
    """
    given = {name: value for name, value in fields.items() if value is not None}
    return _parsed(given, text=False)


def parse_form(fields: Mapping[str, str]) -> VideoRequest:
    """The request in the fields of a form, whose pictures were taken out; an empty field is as not set.

    Raises:
        ApiError: as of :func:`parse_json`.
    """
    given = {
        name: value for name, value in fields.items() if value != "" or name not in VideoRequest.model_fields
    }
    return _parsed(given, text=True)


def _parsed(fields: Mapping[str, object], *, text: bool) -> VideoRequest:
    known = list(VideoRequest.model_fields)
    unknown = next((name for name in fields if name not in known), None)
    if unknown is not None:
        name = unknown[:_LONGEST_INPUT]
        hint = f": {_ELSEWHERE[name]}" if name in _ELSEWHERE else nearest(name, [*PICTURES, *known])
        raise ApiError("unknown_parameter", f"unknown field {name!r}{hint}", param=name)
    try:
        if text:
            return VideoRequest.model_validate_strings(fields)
        return VideoRequest.model_validate(fields, strict=True)
    except ValidationError as error:
        raise invalid(error) from error


def invalid(error: ValidationError) -> ApiError:
    """The first problem of a request, with its field."""
    first = error.errors(include_url=False, include_context=False)[0]
    field = ".".join(map(str, first["loc"])) or "the body"
    value = repr(first["input"])
    given = value if len(value) <= _LONGEST_INPUT else f"{value[:_LONGEST_INPUT]}…"
    return ApiError("invalid_request", f"{field} is {given}: {first['msg']}", param=field)
