"""Sampling settings: the bundle's defaults, overridden by what the user chose."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from pydantic import ValidationError

from core.errors import AnimaticError
from models.asked_motion import motion_value
from models.bundle import Bundle
from models.diffusion.settings import SamplingSettings, problem_of
from models.diffusion.student import guidance_scales


@dataclass(frozen=True)
class SamplingOptions:
    """Fields of :class:`models.diffusion.settings.SamplingSettings`; the bundle's own where None.

    ``guidance_interval`` is LOW,HIGH.
    """

    steps: int | None = None
    eta: float | None = None
    text_guidance: float | None = None
    image_guidance: float | None = None
    fps: float | None = None
    seed: int | None = None
    solver: str | None = None
    guidance_interval: str | None = None
    guidance_every: int | None = None
    cache_every: int | None = None
    motion: float | None = None

    def given(self) -> dict[str, float | str]:
        """The fields that are set."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def sampling_settings(bundle: Bundle, options: SamplingOptions) -> SamplingSettings:
    """The settings to sample with.

    Raises:
        AnimaticError: a value is out of range, contradicts another, or is not for this bundle; the message
            names the option.
    """
    defaults = bundle.info.sampling_defaults
    chosen: dict[str, object] = {**options.given()}
    if options.guidance_interval is not None:
        chosen["guidance_interval"] = _ends(options.guidance_interval)
    try:
        settings = defaults.changed(**chosen)
    except ValidationError as error:
        first = error.errors()[0]
        if not first["loc"]:
            raise AnimaticError(f"--eta, --solver: {problem_of(error)}") from error
        field = str(first["loc"][0])
        problem = first["msg"].removeprefix("Value error, ")
        raise AnimaticError(f"--{field.replace('_', '-')} {getattr(options, field)}: {problem}") from error
    if settings.motion is not None:
        motion_value(bundle.info.architecture, settings.motion)
    guidance_scales(bundle.info.architecture.student, settings)
    return settings


def _ends(interval: str) -> list[str]:
    ends = interval.split(",")
    if len(ends) != 2:
        raise AnimaticError(f"--guidance-interval {interval}: give two numbers, LOW,HIGH, as 0,0.8")
    return ends
