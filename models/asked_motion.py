"""The subject motion that a network can be asked for, and what it is given for it. Imports no torch."""

from core.errors import AnimaticError
from models.architecture import Architecture
from models.motion import MOST_MOTION


def motion_range(architecture: Architecture) -> tuple[float, float] | None:
    """Least and most motion that can be asked for, percent of the short side a frame; None for none."""
    if not (architecture.unet.motion_condition and architecture.unet.temporal):
        return None
    calibration = architecture.motion_calibration
    return (0.0, MOST_MOTION) if calibration is None else calibration.range


def motion_value(architecture: Architecture, motion: float) -> float:
    """What the network is given to move by ``motion`` percent of the short side a frame.

    Without a calibration that is the same number.

    Raises AnimaticError for a network that was not trained for it, or outside :func:`motion_range`.
    """
    offered = motion_range(architecture)
    if offered is None:
        raise AnimaticError(
            "this network has no motion condition: leave motion out, or use one that was trained with "
            "model.unet.motion_condition"
        )
    least, most = offered
    if not least <= motion <= most:
        raise AnimaticError(
            f"motion {motion:g} is not within {least:.3g} to {most:.3g} percent of the short side a frame, "
            "which this network's clips can have"
        )
    calibration = architecture.motion_calibration
    return motion if calibration is None else calibration.value_for(motion)
