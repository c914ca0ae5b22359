"""What a request is sampled with: the client's settings over the operator's; the model decides the others."""

from __future__ import annotations

from typing import Any, get_args

from pydantic import ValidationError

from core.errors import AnimaticError
from models.diffusion.settings import SamplingSettings, Solver, problem_of
from models.diffusion.student import guidance_scales
from orchestration.serving.jobs import ServedVersion
from orchestration.serving.schema import ApiError, VideoRequest
from orchestration.serving.settings import DefaultSettings

# By field of a request: the field of an operator's defaults, and of what is sampled with.
_SAMPLING = {
    "num_inference_steps": "steps",
    "eta": "eta",
    "solver": "solver",
    "guidance_scale": "text_guidance",
    "image_guidance_scale": "image_guidance",
    "conditioning_fps": "fps",
    "motion": "motion",
}
# What only the operator chooses: speed against exactness.
_OPERATORS = ("guidance_interval", "guidance_every", "cache_every")


def chosen(fields: VideoRequest, name: str, defaults: DefaultSettings, own: str) -> Any:
    """The client's value of field ``name``, or else the operator's of ``own``; None where neither set one."""
    for settings, field in ((fields, name), (defaults, own)):
        if field in settings.model_fields_set:
            return getattr(settings, field)
    return None


def sampling_choice(
    fields: VideoRequest, defaults: DefaultSettings, version: ServedVersion
) -> dict[str, object]:
    """What client and operator chose, by field of :class:`models.diffusion.settings.SamplingSettings`.

    What the operator chose for other networks is left out for a distilled one, and so is the operator's eta
    for a solver that sets its own.
    """
    defaults = _applicable(defaults, version)
    choice = {own: chosen(fields, name, defaults, own) for name, own in _SAMPLING.items()}
    solver = choice["solver"] or version.sampling.solver
    if "eta" not in fields.model_fields_set and (solver != "ddim" or defaults.solver not in (None, "ddim")):
        choice["eta"] = None
    choice |= {name: getattr(defaults, name) for name in _OPERATORS}
    return {name: value for name, value in choice.items() if value is not None}


def default_sampling(defaults: DefaultSettings, version: ServedVersion) -> SamplingSettings:
    """What a request is sampled with that sets nothing."""
    return version.sampling.changed(**sampling_choice(VideoRequest(), defaults, version))


def offered_solvers(version: ServedVersion) -> list[Solver]:
    """The solvers that a model can be sampled with."""
    if version.student is not None and version.student.points is not None:
        return ["consistency"]
    return [solver for solver in get_args(Solver) if solver != "consistency"]


def check_sampling(fields: VideoRequest, defaults: DefaultSettings, version: ServedVersion) -> None:
    """Raise ApiError where what client, operator and model set contradicts itself, as eta and the solver, or
    is nothing that a distilled model was trained for."""
    try:
        settings = version.sampling.changed(**sampling_choice(fields, defaults, version))
    except ValidationError as error:
        param = "solver" if fields.solver else "eta"
        raise ApiError(
            "invalid_request", f"{param} cannot be used: {problem_of(error)}", param=param
        ) from error
    try:
        guidance_scales(version.student, settings)
    except AnimaticError as error:
        own, _, problem = str(error).partition(" ")
        param = {own: name for name, own in _SAMPLING.items()}.get(own, own)
        raise ApiError("invalid_request", f"{param} {problem}", param=param) from error


def _applicable(defaults: DefaultSettings, version: ServedVersion) -> DefaultSettings:
    """The operator's settings without those that a distilled model has no use for."""
    student = version.student
    if student is None:
        return defaults
    unused = {"guidance_interval", "guidance_every"}
    if student.image_guidance is None:
        unused.add("image_guidance")
    if student.points is not None:
        unused |= {"solver", "eta"}
    return DefaultSettings.model_validate(
        {name: getattr(defaults, name) for name in defaults.model_fields_set - unused}
    )
