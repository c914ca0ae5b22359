"""The sampling settings of a distilled network: one pass, guided as it was trained. Imports no torch."""

from core.errors import AnimaticError
from models.diffusion.settings import SamplingSettings
from models.student import StudentConfig


def guidance_scales(student: StudentConfig, settings: SamplingSettings) -> tuple[float, float]:
    """The scales by text and image that these settings ask for.

    Raises AnimaticError where the network was not trained for them.
    """
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
    return text, image


def single_pass(settings: SamplingSettings) -> SamplingSettings:
    """The settings of a sampler whose network is guided by itself: one pass, with all conditions."""
    return settings.model_copy(update={"text_guidance": 1.0, "image_guidance": None, "guidance_rescale": 0.0})


def _check_within(name: str, scale: float, ends: tuple[float, float]) -> None:
    low, high = ends
    if not low <= scale <= high:
        raise AnimaticError(
            f"{name} {scale:g}: this network was distilled for {low:g} to {high:g}: choose a scale between"
        )
