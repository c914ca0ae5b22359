"""Training of the tiny preset's frame codec on single frames.

The loss is the squared error, for a high PSNR, plus the error of the differences between neighbouring pixels,
for sharp edges (arXiv:1511.05440). While it trains, latents have mean 0 and variance 1 in each channel over a
batch, and noise is added to them: a decoder that has seen noise forgives a network that predicts latents.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from core.files import atomic_file
from models import public_keys
from models.architecture import CodecConfig
from models.encoders.codec import Codec
from models.encoders.conv_codec import Autoencoder
from models.pixels import to_signed
from orchestration.demo.prior.clips import Clips

_GRADIENT_WEIGHT = 0.03
_MOST_NOISE = 0.15  # standard deviation of the noise, at most, on latents of standard deviation 1
_REAL_SHARE = 0.6  # of the frames in a batch: of photographs and films
_AVERAGE = 0.999
_STATISTICS_BATCHES = 20


@dataclass(frozen=True)
class CodecTraining:
    """How long, and with what, the codec is trained."""

    steps: int = 5000
    batch: int = 64
    lr: float = 1.5e-3
    warmup: int = 100
    seed: int = 0


def train_codec(
    clips: Clips,
    config: CodecConfig,
    training: CodecTraining,
    device: torch.device,
    progress: Callable[[int, int], None],
) -> dict[str, Tensor]:
    """The trained weights by name, averaged over steps.

    Args:
        progress: called now and then with (steps done, steps).
    """
    torch.manual_seed(training.seed)
    network = Autoencoder(config).to(device).to(memory_format=torch.channels_last)
    whitened = nn.BatchNorm2d(config.channels, affine=False).to(device)
    averaged = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(_AVERAGE))
    optimizer = torch.optim.AdamW(network.parameters(), lr=training.lr, betas=(0.9, 0.99), weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, training))
    frames = _Frames(clips, training, device)
    for step in range(1, training.steps + 1):
        pixels = frames.draw(step)
        latents = whitened(network.encode(pixels))
        noise = torch.randn_like(latents) * _MOST_NOISE * torch.rand(len(latents), 1, 1, 1, device=device)
        made = network.decode(latents + noise)
        error = (made - pixels).square().mean()
        (error + _GRADIENT_WEIGHT * _gradient_error(made, pixels)).backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        schedule.step()
        averaged.update_parameters(network)
        if step % 50 == 0 or step == training.steps:
            progress(step, training.steps)
    assert isinstance(averaged.module, Autoencoder)
    return _whiten(averaged.module, [frames.draw(-n) for n in range(1, _STATISTICS_BATCHES + 1)])


def save_codec(weights: dict[str, Tensor], path: Path) -> None:
    """Write the weights as ``model.codec.path`` reads them, in half precision."""
    from safetensors.torch import save_file

    with atomic_file(path) as partial:
        save_file(
            {public_keys.AUTOENCODER + name: value.half().contiguous() for name, value in weights.items()},
            partial,
        )


def psnr(codec: Codec, frames: np.ndarray, chunk: int = 64) -> list[float]:
    """Of each frame (n h w 3) uint8 after encoding and decoding, in dB over RGB."""
    found: list[float] = []
    for part in np.array_split(frames, math.ceil(len(frames) / chunk)):
        pixels = to_signed(torch.from_numpy(part).permute(0, 3, 1, 2))
        made = codec.decode(codec.encode(pixels))
        errors = ((made - pixels) / 2).square().mean((1, 2, 3))
        found += (-10 * errors.log10()).tolist()
    return found


class _Frames:
    """Random frames on a device; step n's are a function of (seed, n)."""

    def __init__(self, clips: Clips, training: CodecTraining, device: torch.device) -> None:
        self._clips, self._training, self._device = clips, training, device
        kinds = np.array(clips.kinds)
        self._real, self._rendered = np.flatnonzero(kinds != "rendered"), np.flatnonzero(kinds == "rendered")

    def draw(self, step: int) -> Tensor:
        """Frames (n 3 h w) in [-1, 1]: mirrored and turned at random, half the real ones recoloured."""
        rng = np.random.default_rng([self._training.seed, step % 2**32])
        batch = self._training.batch
        real = round(batch * _REAL_SHARE)
        rows = np.concatenate([rng.choice(self._real, real), rng.choice(self._rendered, batch - real)])
        times = rng.integers(self._clips.frames.shape[1], size=batch)
        picked = torch.from_numpy(self._clips.frames[rows, times]).to(self._device)
        pixels = to_signed(picked.permute(0, 3, 1, 2))
        if rng.random() < 0.5:
            pixels = pixels.flip(3)
        if rng.random() < 0.25:
            pixels = pixels.transpose(2, 3)
        colours = np.tile(np.arange(3), (batch, 1))
        gains, shifts = np.ones((batch, 1)), np.zeros((batch, 1))
        for row in range(0, real, 2):
            colours[row], gains[row], shifts[row] = (
                rng.permutation(3),
                rng.uniform(0.6, 1.2),
                rng.uniform(-0.2, 0.2),
            )
        order = torch.from_numpy(colours).to(self._device)
        pixels = pixels.gather(1, order[:, :, None, None].expand_as(pixels))
        scale = [torch.from_numpy(x).to(pixels)[:, :, None, None] for x in (gains, shifts)]
        return (pixels * scale[0] + scale[1]).clamp(-1, 1).contiguous(memory_format=torch.channels_last)


def _gradient_error(made: Tensor, pixels: Tensor) -> Tensor:
    """Mean absolute error of the differences between neighbours, at full and at half size."""
    total = made.new_zeros(())
    for scale in (1, 2):
        difference = nn.functional.avg_pool2d(made - pixels, scale)
        total = total + difference.diff(dim=2).abs().mean() + difference.diff(dim=3).abs().mean()
    return total


def _rate(step: int, training: CodecTraining) -> float:
    """Factor on the learning rate: linear warm-up, then a cosine down to zero."""
    if step < training.warmup:
        return (step + 1) / training.warmup
    return 0.5 + 0.5 * math.cos(math.pi * (step - training.warmup) / (training.steps - training.warmup))


@torch.no_grad()
def _whiten(network: Autoencoder, batches: Sequence[Tensor]) -> dict[str, Tensor]:
    """The weights, the statistics of the latents moved into the encoder's last convolution."""
    latents = torch.cat([network.encode(pixels) for pixels in batches])
    mean, std = latents.mean((0, 2, 3)), latents.std((0, 2, 3))
    last = network.encoder[-1]
    assert isinstance(last, nn.Conv2d) and last.bias is not None
    last.weight.div_(std[:, None, None, None])
    last.bias.sub_(mean).div_(std)
    return {name: value.detach().float().cpu() for name, value in network.state_dict().items()}
