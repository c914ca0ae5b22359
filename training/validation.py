"""Validation samples: the same few stills, animated at regular intervals during training."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from core.h264 import H264Settings, write_mp4
from models.animate import animate
from models.animator import Animator
from models.batch import Batch
from models.network.network import Network
from models.pixels import to_signed, to_uint8
from training.config import RunConfig

_PLAYBACK_FPS = 8


@dataclass(frozen=True)
class ValidationSample:
    """A sample on disk: its clip, or its picture where the network makes single images."""

    path: Path
    prompt: str


def draw_samples(
    animator: Animator,
    weights: Mapping[str, Tensor],
    batch: Batch,
    config: RunConfig,
    folder: Path,
    step: int,
) -> list[ValidationSample]:
    """Animate the first stills of ``batch`` and write ``step-…-N.mp4`` and ``.png`` (a strip of its frames).

    Args:
        animator: its frozen encoders and codec are used, its own network is not.
        weights: whole weights of the network, by name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sampler = _with_weights(animator, weights)
    settings = config.validation.sampling
    count = min(config.validation.count, len(batch))
    prompts = list(config.validation.prompts or batch.captions)
    written = []
    for index in range(count):
        prompt = prompts[index % len(prompts)]
        still = to_signed(batch.stills[index][None])
        own = settings.model_copy(
            update={"seed": settings.seed + index, "fps": settings.fps or float(batch.fps[index])}
        )
        clip = animate(sampler, still, [prompt], own)[0]
        frames = to_uint8(clip).permute(0, 2, 3, 1).numpy()
        path = _write(frames, folder / f"step-{step:08d}-{index}")
        written.append(ValidationSample(path, prompt))
    return written


def _with_weights(animator: Animator, weights: Mapping[str, Tensor]) -> Animator:
    """An animator with a network of these weights and the frozen parts of ``animator``."""
    network = Network(animator.architecture).eval()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.copy_(weights[name])
    return animator.with_network(network.to(animator.device))


def _write(frames: np.ndarray, stem: Path) -> Path:
    """Write frames (t h w 3) uint8 as a strip and, if there are several, as a clip."""
    strip = stem.with_suffix(".png")
    Image.fromarray(np.concatenate(list(frames), axis=1)).save(strip)
    if len(frames) == 1:
        return strip
    path = stem.with_suffix(".mp4")
    write_mp4(frames, path, _PLAYBACK_FPS, H264Settings(crf=18))
    return path
