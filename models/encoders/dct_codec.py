"""A frame codec without weights: a truncated discrete cosine transform of patches."""

import math

import torch
from einops import rearrange
from torch import Tensor

from core.errors import AnimaticError
from models.architecture import CodecConfig
from models.encoders.codec import Codec

# Divisors of the DCT codec's latents: a patch's mean gets about unit variance over typical footage, higher
# frequencies less, so that what is most visible also survives the noise longest.
_MEAN_STD = 0.25
_FALL = 1.6


class DctCodec(Codec):
    """The lowest DCT coefficients of each patch of the luma and chroma planes.

    No weights: a fixed linear transform, inverted exactly on the coefficients that it keeps.
    """

    basis: Tensor
    colour: Tensor
    scale: Tensor

    def __init__(self, config: CodecConfig) -> None:
        super().__init__()
        self.patch, self.channels = config.patch, config.channels
        self.counts = (config.luma, config.chroma, config.chroma)
        kept = max(config.luma, config.chroma)
        if kept > config.patch**2:
            raise AnimaticError(
                f"a {config.patch}x{config.patch} patch has {config.patch**2} coefficients, not {kept} "
                "(model.codec.luma, model.codec.chroma)"
            )
        basis, scale = _dct_basis(config.patch, kept)
        self.register_buffer("basis", basis, persistent=False)
        self.register_buffer("scale", scale, persistent=False)
        # ITU-R BT.601 luma and chroma of RGB.
        colour = [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]]
        self.register_buffer("colour", torch.tensor(colour), persistent=False)

    def _posterior(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        planes = torch.einsum("dc,nchw->ndhw", self.colour, pixels)
        patches = rearrange(planes, "n d (h p) (w q) -> n d h w (p q)", p=self.patch, q=self.patch)
        coefficients = torch.einsum("kp,ndhwp->ndkhw", self.basis, patches) / self.scale[:, None, None]
        mean = torch.cat([coefficients[:, d, :count] for d, count in enumerate(self.counts)], dim=1)
        return mean, torch.zeros_like(mean)

    def encoding(self) -> dict[str, Tensor]:
        return {
            "basis": self.basis,
            "colour": self.colour,
            "scale": self.scale,
            "counts": torch.tensor(self.counts),
        }

    def _decode(self, latents: Tensor) -> Tensor:
        planes = []
        for part in latents.split(self.counts, dim=1):
            count = part.shape[1]
            weighted = part * self.scale[:count, None, None]
            patches = torch.einsum("kp,nkhw->nhwp", self.basis[:count], weighted)
            planes.append(rearrange(patches, "n h w (p q) -> n (h p) (w q)", p=self.patch, q=self.patch))
        inverse = torch.linalg.inv(self.colour)
        return torch.einsum("cd,ndhw->nchw", inverse, torch.stack(planes, dim=1))


def _dct_basis(patch: int, kept: int) -> tuple[Tensor, Tensor]:
    """Orthonormal 2-D DCT-II basis functions by rising frequency (kept patch²), and their scales (kept)."""
    n = torch.arange(patch, dtype=torch.float64)
    one = torch.cos(math.pi / patch * (n[None] + 0.5) * n[:, None]) * math.sqrt(2 / patch)
    one[0] /= math.sqrt(2)
    order = sorted(((u, v) for u in range(patch) for v in range(patch)), key=lambda f: (math.hypot(*f), f))[
        :kept
    ]
    basis = torch.stack([torch.outer(one[u], one[v]).flatten() for u, v in order])
    scale = torch.tensor([_MEAN_STD * patch / (1 + _FALL * math.hypot(u, v)) for u, v in order])
    return basis.float(), scale.float()
