"""Between stored pixels, 0 to 255, and those of the network, -1 to 1."""

import torch
from torch import Tensor


def to_signed(pixels: Tensor) -> Tensor:
    """uint8 (... 3 h w) -> float32 in [-1, 1].

    Contiguous: colours that a loader leaves innermost are moved here, on the device.
    """
    return pixels.to(torch.float32, memory_format=torch.contiguous_format) / 127.5 - 1


def to_uint8(signed: Tensor) -> Tensor:
    """Float (... 3 h w), cut off at -1 and 1 -> uint8."""
    return ((signed.detach().float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
