"""The sampling settings of a distilled network: one pass, guided as it was trained. Imports no torch."""

from core.errors import AnimaticError
from models.diffusion.settings import SamplingSettings
from models.student import StudentConfig


def guidance_scales(student: StudentConfig | None, settings: SamplingSettings) -> tuple[float, float] | None:
    """The scales by text and image that these settings ask for; None for a network without a ``student``.

    Raises AnimaticError where the network was not trained for them, or for their solver.
    """
    _check_solver(student, settings)
    if student is None:
        return None
    text = settings.text_guidance
    image = text if settings.image_guidance is None else settings.image_guidance
    _check_within("text_guidance", text, student.text_guidance)
    if student.image_guidance is not None:
        _check_within("image_guidance", image, student.image_guidance)
    elif image != text:
        raise AnimaticError(
            f"image_guidance {image:g}: this network was distilled with one scale for text and image: "
            "leave it out"
        )
    if settings.guidance_rescale != student.guidance_rescale:
        raise AnimaticError(
            f"guidance_rescale {settings.guidance_rescale:g}: this network was distilled with "
            f"{student.guidance_rescale:g}: set that"
        )
    default = SamplingSettings.model_fields["guidance_interval"].default
    if settings.guidance_every != 1 or settings.guidance_interval != default:
        raise AnimaticError(
            "guidance_every and guidance_interval save passes of guidance, of which a distilled network "
            "needs none: leave them out"
        )
    return text, image


def single_pass(settings: SamplingSettings) -> SamplingSettings:
    """The settings of a sampler whose network is guided by itself: one pass, with all conditions."""
    return settings.model_copy(update={"text_guidance": 1.0, "image_guidance": None, "guidance_rescale": 0.0})


def _check_solver(student: StudentConfig | None, settings: SamplingSettings) -> None:
    points, consistent = student.points if student else None, settings.solver == "consistency"
    if consistent and points is None:
        raise AnimaticError(
            "solver consistency is for networks that were distilled for it (stage 4, objective consistency), "
            "which this one was not: take another solver"
        )
    if points is None:
        return
    if not consistent:
        raise AnimaticError(
            f"solver {settings.solver}: this network was distilled for solver consistency: set that"
        )
    if settings.steps > points or settings.spacing != "uniform_trailing":
        raise AnimaticError(
            f"steps {settings.steps}, spacing {settings.spacing}: this network was distilled for at most "
            f"{points} steps of spacing uniform_trailing: set those"
        )


def _check_within(name: str, scale: float, ends: tuple[float, float]) -> None:
    low, high = ends
    if not low <= scale <= high:
        raise AnimaticError(
            f"{name} {scale:g}: this network was distilled for {low:g} to {high:g}: choose a scale between"
        )
