"""The training batch: what the loader produces and the objective consumes."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """Clips to train on.

    ``drop_text``, ``drop_image`` and ``seed`` are for the host, which decides by them: they stay on the CPU.

    Attributes:
        pixels: (b t 3 h w) uint8; with ``latents``, the still image alone (t = 1).
        captions: b texts.
        fps: (b) float, frame rate (or stride) of the clip as sampled.
        condition_index: (b) int64, the frame that serves as the still image.
        drop_text, drop_image: (b) bool, conditions left out for this sample (classifier-free guidance).
        seed: (b) int64, of the diffusion step and noise: the loss then depends on samples, not on processes.
        keys: b sample keys.
        latents: (b t 2 c h/p w/p), mean and standard deviation of each frame; None: the codec computes them.
        text: (b n c), text features of the captions; None: the text tower computes them.
        motion: (b) float, subject motion in percent of the short side a frame, NaN where unspecified; None:
            the network has no condition for it, or all are unspecified.
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
    motion: Tensor | None = None

    @property
    def stills(self) -> Tensor:
        """The still images, (b 3 h w) uint8."""
        if self.latents is not None:
            return self.pixels[:, 0]
        return self.pixels[torch.arange(len(self), device=self.pixels.device), self.condition_index]

    def __len__(self) -> int:
        return len(self.captions)

    def to(self, device: torch.device | str) -> "Batch":
        """The same batch on ``device``, but for what the host decides by.

        Does not wait for the device: copies may still be under way when this returns, so the CPU's tensors
        must not be written to.
        """
        moved = self._map(lambda tensor: tensor.to(device, non_blocking=True), self.captions, self.keys)
        return replace(moved, drop_text=self.drop_text, drop_image=self.drop_image, seed=self.seed)

    def split(self, size: int) -> list["Batch"]:
        """Micro-batches of at most ``size`` samples, in order."""
        return [self._rows(slice(start, start + size)) for start in range(0, len(self), size)]

    def _rows(self, rows: slice) -> "Batch":
        return self._map(lambda tensor: tensor[rows], self.captions[rows], self.keys[rows])

    def _map(self, change: Callable[[Tensor], Tensor], captions: list[str], keys: list[str]) -> "Batch":
        return Batch(
            pixels=change(self.pixels),
            captions=captions,
            fps=change(self.fps),
            condition_index=change(self.condition_index),
            drop_text=change(self.drop_text),
            drop_image=change(self.drop_image),
            seed=change(self.seed),
            keys=keys,
            latents=None if self.latents is None else change(self.latents),
            text=None if self.text is None else change(self.text),
            motion=None if self.motion is None else change(self.motion),
        )
