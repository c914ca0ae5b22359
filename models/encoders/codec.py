"""The interface of frame codecs, which turn pixels into latents and back."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn


class Codec(nn.Module, ABC):
    """Frames to latents and back, frozen.

    ``encode``: (n 3 h w) in [-1, 1] -> (n c h/p w/p). ``decode``: the inverse, clamped to [-1, 1].
    """

    channels: int

    @abstractmethod
    def posterior(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of the frames' latents, (n c h/p w/p) each."""

    @abstractmethod
    def encoding(self) -> dict[str, Tensor]:
        """Every number that decides ``posterior``: latents of codecs that agree in it are the same."""

    def encode(self, pixels: Tensor, generators: list[torch.Generator] | None = None) -> Tensor:
        """``generators``: one per frame where latents are drawn; None takes the most likely latent."""
        mean, std = self.posterior(pixels)
        return mean if generators is None else draw_latents(mean, std, generators)

    @abstractmethod
    def decode(self, latents: Tensor) -> Tensor:
        """Latents (n c h/p w/p) -> pixels (n 3 h w) in [-1, 1]."""

    def train(self, mode: bool = True) -> "Codec":
        """Frozen: stays in evaluation mode whatever its parent does."""
        return super().train(False)


def draw_latents(mean: Tensor, std: Tensor, generators: list[torch.Generator]) -> Tensor:
    """Latents (n c h w) of ``mean`` and ``std`` (n c h w each), one CPU generator per frame.

    Drawn on the CPU, frame by frame: a frame's latent depends neither on the device nor on its batch.
    """
    noise = torch.stack([torch.randn(mean.shape[1:], generator=generator) for generator in generators])
    return mean + std * noise.to(mean)
