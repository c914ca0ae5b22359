"""The interface of frame codecs, which turn pixels into latents and back."""

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn


class Codec(nn.Module, ABC):
    """Frames to latents and back, frozen.

    Computes in float32, under autocast too: in bfloat16 a latent's mean is off by 1 %, which would be a
    difference between stored latents, training and sampling.
    """

    channels: int

    @torch.no_grad()
    def posterior(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of the latents (n c h/p w/p each) of frames (n 3 h w) in [-1, 1]."""
        with _without_autocast(pixels.device):
            return self._posterior(pixels.float())

    @abstractmethod
    def encoding(self) -> dict[str, Tensor]:
        """Every number that decides ``posterior``: latents of codecs that agree in it are the same."""

    def encode(self, pixels: Tensor, generators: list[torch.Generator] | None = None) -> Tensor:
        """Latents (n c h/p w/p) of frames (n 3 h w) in [-1, 1].

        Args:
            generators: as in :func:`draw_latents`, where latents are drawn; None takes the most likely ones.
        """
        mean, std = self.posterior(pixels)
        return mean if generators is None else draw_latents(mean, std, generators)

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Frames (n 3 h w), clamped to [-1, 1], of latents (n c h/p w/p)."""
        with _without_autocast(latents.device):
            return self._decode(latents.float()).clamp(-1, 1)

    @abstractmethod
    def _posterior(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """The posterior of float32 frames."""

    @abstractmethod
    def _decode(self, latents: Tensor) -> Tensor:
        """The frames of float32 latents, not clamped."""

    def train(self, mode: bool = True) -> "Codec":
        """Frozen: stays in evaluation mode whatever its parent does."""
        return super().train(False)


def draw_latents(mean: Tensor, std: Tensor, generators: list[torch.Generator]) -> Tensor:
    """Latents (n c h w) of ``mean`` and ``std`` (n c h w each).

    Drawn on the CPU, frame by frame: a latent depends neither on the device, nor on its batch, nor on how
    many frames come after it.

    Args:
        generators: CPU generators, one for each clip; n is their number times the frames of a clip, and the
            frames of a clip are drawn in order.
    """
    frames = mean.shape[0] // len(generators)
    drawn = [torch.randn(mean.shape[1:], generator=each) for each in generators for _ in range(frames)]
    return mean + std * torch.stack(drawn).to(mean, non_blocking=True)


def _without_autocast(device: torch.device) -> AbstractContextManager[object]:
    if not torch.amp.is_autocast_available(device.type):
        return nullcontext()
    return torch.autocast(device.type, enabled=False)
