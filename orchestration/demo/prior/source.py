"""Training batches from clips in memory, their latents computed once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from models.animator import Animator
from models.batch import Batch
from models.bundle import TrainedOn
from models.encoders.codec import Codec
from models.pixels import to_signed
from orchestration.demo.prior.clips import Clips

_DROPPED = 0.1  # share of captions left out, for classifier-free guidance


class ClipSource:
    """Batches of :class:`Clips`; see :class:`training.batch_source.BatchSource`.

    Batch n is a function of (seed, n): its clips are drawn with replacement.
    """

    datasets: Sequence[TrainedOn] = ()
    failures = 0

    def __init__(self, clips: Clips, codec: Codec, seed: int, chunk: int = 32) -> None:
        """Encodes all clips, ``chunk`` at a time, on the codec's device."""
        self._clips, self._seed = clips, seed
        self.digest = clips.digest
        self._latents = _encode(clips.frames, codec, chunk)

    def batches(
        self, rank: int, world_size: int, position: int, global_batch: int, data_round: int = 0
    ) -> Iterator[Batch]:
        """See :class:`training.batch_source.BatchSource`."""
        share = global_batch // world_size
        while True:
            rng = np.random.default_rng([self._seed, position, data_round])
            drawn = rng.integers(len(self._clips.captions), size=global_batch)
            seeds = rng.integers(2**63 - 1, size=global_batch)
            dropped = rng.random(global_batch) < _DROPPED
            mine = slice(rank * share, (rank + 1) * share)
            yield self._batch(drawn[mine], seeds[mine], dropped[mine])
            position += 1

    def first(self, count: int) -> Batch:
        """See :class:`training.batch_source.BatchSource`."""
        return self._batch(np.arange(count), np.arange(count), np.zeros(count, bool))

    def size(self) -> int:
        """See :class:`training.batch_source.BatchSource`."""
        return len(self._clips.captions)

    def check_encoders(self, animator: Animator) -> None:
        """The latents are of the codec that the source was made with."""

    def _batch(self, rows: np.ndarray, seeds: np.ndarray, dropped: np.ndarray) -> Batch:
        mean = self._latents[torch.from_numpy(rows)].float()
        return Batch(
            pixels=torch.from_numpy(self._clips.frames[rows, :1]).permute(0, 1, 4, 2, 3),
            captions=[self._clips.captions[row] for row in rows],
            fps=torch.tensor([self._clips.fps[row] for row in rows]),
            condition_index=torch.zeros(len(rows), dtype=torch.int64),
            drop_text=torch.from_numpy(dropped),
            drop_image=torch.zeros(len(rows), dtype=torch.bool),
            seed=torch.from_numpy(seeds),
            keys=[f"{row:06d}" for row in rows],
            latents=torch.stack([mean, torch.zeros_like(mean)], dim=2),
        )


def _encode(frames: np.ndarray, codec: Codec, chunk: int) -> Tensor:
    """Latents (n t c h w) in half precision, on the CPU."""
    device, found = next(codec.parameters()).device, []
    for start in range(0, len(frames), chunk):
        part = torch.from_numpy(frames[start : start + chunk].copy()).to(device)
        pixels = to_signed(part.flatten(0, 1).permute(0, 3, 1, 2))
        found.append(codec.encode(pixels).unflatten(0, part.shape[:2]).half().cpu())
    return torch.cat(found)
