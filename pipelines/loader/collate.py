"""Samples → the tensors of one training batch."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.batch import Batch
from pipelines.loader.sample_stream import LoadedSample
from pipelines.video.frames import Frames


def collate(samples: Sequence[LoadedSample]) -> Batch:
    """One batch; ``pixels`` stay in memory as [b t h w 3], for the device to transpose, not the CPU."""
    params = [sample.params for sample in samples]
    return Batch(
        pixels=_pixels([sample.data.pixels for sample in samples]),
        captions=[sample.caption for sample in samples],
        fps=torch.tensor([p.fps for p in params], dtype=torch.float32),
        condition_index=torch.tensor([p.condition_index for p in params], dtype=torch.int64),
        drop_text=torch.tensor([p.drop_text for p in params], dtype=torch.bool),
        drop_image=torch.tensor([p.drop_image for p in params], dtype=torch.bool),
        seed=torch.tensor([p.noise_seed for p in params], dtype=torch.int64),
        keys=[sample.key for sample in samples],
        latents=_stack([sample.data.latents for sample in samples]),
        motion=_motion(samples),
        text=_stack([sample.data.text for sample in samples]),
    )


def _motion(samples: Sequence[LoadedSample]) -> Tensor | None:
    known = [sample.motion for sample in samples if sample.motion is not None]
    return torch.tensor(known, dtype=torch.float32) if known else None


def _pixels(samples: Sequence[Frames]) -> Tensor:
    """b times [t h w 3] → (b t 3 h w)."""
    stacked = np.stack(samples)
    return torch.from_numpy(stacked).permute(0, 1, 4, 2, 3)


def _stack(arrays: Sequence[npt.NDArray[Any] | None]) -> Tensor | None:
    """All arrays as one tensor, or None if there are none."""
    present = [array for array in arrays if array is not None]
    return torch.from_numpy(np.stack(present)) if present else None
