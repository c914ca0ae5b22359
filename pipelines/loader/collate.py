"""Samples put together into what a training step sees."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.batch import Batch
from pipelines.loader.stream import LoadedSample
from pipelines.video.frames import Frames


def collate(samples: Sequence[LoadedSample]) -> Batch:
    """One batch; ``pixels`` lie in memory as [b t h w 3]: the device turns them, not the loader."""
    drawn = [sample.drawn for sample in samples]
    return Batch(
        pixels=_pixels([sample.shown.pixels for sample in samples]),
        captions=[sample.caption for sample in samples],
        fps=torch.tensor([d.fps for d in drawn], dtype=torch.float32),
        condition_index=torch.tensor([d.condition_index for d in drawn], dtype=torch.int64),
        drop_text=torch.tensor([d.drop_text for d in drawn], dtype=torch.bool),
        drop_image=torch.tensor([d.drop_image for d in drawn], dtype=torch.bool),
        seed=torch.tensor([d.noise_seed for d in drawn], dtype=torch.int64),
        keys=[sample.key for sample in samples],
        latents=_stack([sample.shown.latents for sample in samples]),
        text=_stack([sample.shown.text for sample in samples]),
    )


def _pixels(samples: Sequence[Frames]) -> Tensor:
    """b times [t h w 3] -> (b t 3 h w)."""
    stacked = np.stack(samples)
    return torch.from_numpy(stacked).permute(0, 1, 4, 2, 3)


def _stack(arrays: Sequence[npt.NDArray[Any] | None]) -> Tensor | None:
    """One tensor of all, or None where there are none."""
    present = [array for array in arrays if array is not None]
    return torch.from_numpy(np.stack(present)) if present else None
