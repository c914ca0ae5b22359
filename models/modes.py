"""What a clip is conditioned on besides its first image; torch-free, to check requests before loading."""

from typing import Literal

from core.errors import AnimaticError
from models.architecture import Architecture

# "animate" continues from the image; "interpolate" ends at a second image; "loop" ends at its own beginning.
Mode = Literal["animate", "interpolate", "loop"]

# Frames that a clip has at least.
MIN_FRAMES: dict[Mode, int] = {"animate": 1, "interpolate": 2, "loop": 3}


def frames_to_sample(architecture: Architecture, mode: Mode, frames: int | None) -> int:
    """Frames to sample for a clip: those requested, else the architecture's; one for an image network.

    Raises:
        AnimaticError: where the network does not support the mode, or the mode needs more frames.
    """
    if not architecture.unet.temporal:
        if frames not in (None, 1) or mode != "animate":
            raise AnimaticError(
                "this network has no temporal layers and draws single images: use a bundle of stage 2 or 3"
            )
        return 1
    if mode != "animate" and not architecture.unet.detail_guidance:
        raise AnimaticError(
            f"mode {mode} conditions the network on the last frame, which needs detail guidance: "
            "use a bundle of stage 3"
        )
    frames = architecture.frames if frames is None else frames
    if frames < MIN_FRAMES[mode]:
        raise AnimaticError(f"frames is {frames}: mode {mode} needs at least {MIN_FRAMES[mode]}")
    return frames
