"""How many passes of the network a step of sampling takes. Imports no torch."""

from models.architecture import Architecture
from models.diffusion.settings import SamplingSettings


def passes_per_step(architecture: Architecture, settings: SamplingSettings) -> int:
    """One for a distilled network, else two, or three with a scale for the image; twice as many where motion
    that is asked for is amplified. Steps that reuse guidance have fewer."""
    guided = 2 if settings.image_guidance is None else 3
    if architecture.student is not None:
        guided = 1
    calibration = architecture.motion_calibration
    is_amplified = settings.motion is not None and calibration is not None and calibration.amplification != 1
    return 2 * guided if is_amplified else guided
