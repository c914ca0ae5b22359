"""The training batch: what the loader produces and the objective consumes."""

from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """Clips to train on; the loader's product.

    Attributes:
        pixels: (b t 3 h w) uint8; with ``latents``, the still image alone (t = 1).
        captions: b texts.
        fps: (b) float, frame rate (or stride) of the clip as sampled.
        condition_index: (b) int64, the frame that serves as the still image.
        drop_text, drop_image: (b) bool, conditions left out for this sample (classifier-free guidance).
        seed: (b) int64, of the diffusion step and noise: the loss then depends on samples, not on ranks.
        keys: b sample keys.
        latents: (b t 2 c h/p w/p), mean and standard deviation of each frame; None: the codec computes them.
        text: (b n c), text features of the captions; None: the text tower computes them.
    """

    pixels: Tensor
    captions: list[str]
    fps: Tensor
    condition_index: Tensor
    drop_text: Tensor
    drop_image: Tensor
    seed: Tensor
    keys: list[str]
    latents: Tensor | None = None
    text: Tensor | None = None

    @property
    def stills(self) -> Tensor:
        """The still images, (b 3 h w) uint8."""
        if self.latents is not None:
            return self.pixels[:, 0]
        return self.pixels[torch.arange(len(self), device=self.pixels.device), self.condition_index]

    def __len__(self) -> int:
        return len(self.captions)

    def to(self, device: torch.device | str) -> "Batch":
        """The same batch with its tensors on ``device``."""
        moved: dict[str, Any] = {name: value.to(device) for name, value in self._tensors().items()}
        return replace(self, **moved)

    def split(self, size: int) -> list["Batch"]:
        """Micro-batches of at most ``size`` samples, in order."""
        parts = {name: value.split(size) for name, value in self._tensors().items()}
        starts = range(0, len(self), size)
        return [
            Batch(
                captions=self.captions[start : start + size],
                keys=self.keys[start : start + size],
                **{name: value[index] for name, value in parts.items()},
            )
            for index, start in enumerate(starts)
        ]

    def _tensors(self) -> dict[str, Tensor]:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if isinstance(value, Tensor)}
