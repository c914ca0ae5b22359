"""The noise that sampling adds."""

from collections.abc import Sequence

import torch
from torch import Tensor


def draw_noise(generators: Sequence[torch.Generator], like: Tensor) -> Tensor:
    """Standard normal noise like ``like``, each sample's from its own CPU generator."""
    rows = [torch.randn(like.shape[1:], generator=generator) for generator in generators]
    return torch.stack(rows).to(like, non_blocking=True)
