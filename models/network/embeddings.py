"""Numbers as vectors: the network's inputs beside latents and context."""

import math

import torch
from torch import Tensor, nn

# Guidance scales, from 1 to 15 or so, are spread over the sinusoids' periods by this factor.
_SCALE_FACTOR = 10.0
# Motion, in percent of the short side a frame, spans a few orders of magnitude; below the first it is noise.
_LEAST_MOTION = 0.05
_POSITIONS_A_DOUBLING = 10.0


def sinusoid(positions: Tensor, dim: int, max_period: float = 10_000.0) -> Tensor:
    """Sinusoidal embedding (b) -> (b dim), cosines first, as published."""
    half = dim // 2
    exponents = torch.arange(half, dtype=torch.float32, device=positions.device) / half
    angles = positions.float()[:, None] * torch.exp(-math.log(max_period) * exponents)
    embedding = torch.cat([angles.cos(), angles.sin()], dim=-1)
    return nn.functional.pad(embedding, (0, dim % 2))


class GuidanceEmbedding(nn.Sequential):
    """The scales of guidance by text and image as one vector, zero at first (arXiv:2210.03142, section 3)."""

    def __init__(self, width: int, emb_dim: int) -> None:
        """``width``: of the sinusoids of each scale; ``emb_dim``: of the result."""
        last = nn.Linear(emb_dim, emb_dim)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        super().__init__(nn.Linear(2 * width, emb_dim), nn.SiLU(), last)
        self._width = width

    def forward(self, scales: Tensor) -> Tensor:
        """(b 2), text and image, -> (b emb_dim)."""
        sinusoids = [sinusoid(_SCALE_FACTOR * scale, self._width) for scale in scales.unbind(dim=1)]
        weights = next(self.parameters())
        return super().forward(torch.cat(sinusoids, dim=1).to(weights.dtype))


class MotionEmbedding(nn.Sequential):
    """Subject motion as a vector, zero at first; an unspecified one is zero always."""

    def __init__(self, width: int, emb_dim: int) -> None:
        """``width``: of the sinusoids; ``emb_dim``: of the result."""
        last = nn.Linear(emb_dim, emb_dim)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        super().__init__(nn.Linear(width, emb_dim), nn.SiLU(), last)
        self._width = width

    def forward(self, motion: Tensor) -> Tensor:
        """(b), percent of the short side a frame, NaN where unspecified, -> (b emb_dim).

        Sinusoids are of log2(1 + motion / 0.05), so that a doubling is the same distance everywhere.
        """
        known = ~motion.isnan()
        positions = _POSITIONS_A_DOUBLING * torch.log2(1 + motion.float().nan_to_num() / _LEAST_MOTION)
        weights = next(self.parameters())
        embedded: Tensor = super().forward(sinusoid(positions, self._width).to(weights.dtype))
        return embedded * known[:, None]
