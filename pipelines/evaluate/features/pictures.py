"""Frames of clips as inputs of networks for images."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from pipelines.evaluate.clips import Pixels
from pipelines.evaluate.features.extractor import Vectors

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor


def by_clip(
    pixels: Pixels, prepare: Callable[[Image.Image], Tensor], network: Callable[[Tensor], Tensor]
) -> Vectors:
    """Features [n t d] of the frames of clips, uint8 [n t h w 3]; the frames of a clip are one batch.

    ``prepare`` makes of a picture an input [c h w], ``network`` of inputs [t c h w] vectors [t d].
    """
    return np.stack([_frames(clip, prepare, network) for clip in pixels])


def _frames(
    clip: Pixels, prepare: Callable[[Image.Image], Tensor], network: Callable[[Tensor], Tensor]
) -> Vectors:
    import torch
    from PIL import Image

    inputs = torch.stack([prepare(Image.fromarray(frame)) for frame in clip])
    with torch.inference_mode():
        vectors: Vectors = network(inputs).float().cpu().numpy()
    return vectors
