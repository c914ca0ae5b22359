"""Training batches from a dataset of shards: one global order, resumed from one integer.

The sequence of global batches is a function of the dataset's digest, the seed and the global batch
size. Rank r of R takes positions r, r+R, … of every global batch, so any world size sees the same
batches, and ``position`` (global batches handed out) is the whole state.
"""

import logging
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch

from models.animator import Batch
from models.errors import AnimaticError
from pipelines.frames import UndecodableError
from pipelines.latents import Latents
from pipelines.order import GlobalOrder
from pipelines.reading import Clip, SampleReader, Shown
from pipelines.sampling import ClipSampling, Draw, draw
from pipelines.selection import EVERYTHING, Selection, data_digest, selected
from pipelines.shard_files import CacheConfig, ShardFiles
from pipelines.shards import Dataset

__all__ = ["ClipLoader", "ClipSampling"]

log = logging.getLogger(__name__)

_COLUMNS = ("key", "caption", "frames", "fps", "height", "width")
_BATCHES_AHEAD = 2
_SUBSTITUTES = 16  # consecutive unreadable stand-ins before the dataset is called broken
_FAILURES_JUDGED_AFTER = 100


@dataclass
class _Sample:
    """One decoded sample, with the samples that failed before it: (key, reason)."""

    key: str
    caption: str
    drawn: Draw
    shown: Shown
    failed: list[tuple[str, str]] = field(default_factory=list)


class ClipLoader:
    """Endless training batches of one rank.

    Samples that cannot be read or decoded are counted in ``failures``, logged with their key and replaced
    by the first readable sample of an order drawn for that key and epoch. Shards are checked against their
    digests when they are first used, remote ones fetched: see :mod:`pipelines.shard_files`. Clips with
    fewer frames than ``sampling.frames`` are left out when the dataset is opened (``too_short`` counts them).
    """

    def __init__(
        self,
        dataset: Dataset | str | Path,
        sampling: ClipSampling,
        *,
        seed: int,
        global_batch: int,
        rank: int = 0,
        world_size: int = 1,
        position: int = 0,
        threads: int = 1,
        latents: Latents | None = None,
        selection: Selection = EVERYTHING,
        max_failure_share: float = 0.05,
        cache: CacheConfig | None = None,
    ) -> None:
        """Start after ``position`` global batches; ``threads`` decode in the background.

        ``latents`` of the dataset are given in place of pixels; nothing else about the batches changes.
        Clips that ``selection`` leaves out are not shown (``left_out`` counts them). When more than
        ``max_failure_share`` of the samples that were tried have failed, iteration ends with an
        AnimaticError, and so it does at a damaged shard.

        Raises AnimaticError when the dataset has no clip that is long enough, or when ranks cannot
        share ``global_batch`` evenly.
        """
        if global_batch < 1 or global_batch % world_size:
            raise AnimaticError(
                f"global batch {global_batch} cannot be shared by {world_size} workers: "
                f"make it a multiple of {world_size}"
            )
        if not 0 <= rank < world_size:
            raise ValueError(f"rank {rank} outside world of {world_size}")
        self._dataset = Dataset.open(dataset) if isinstance(dataset, str | Path) else dataset
        self._sampling, self._seed = sampling, seed
        self._global_batch, self._rank, self._world_size = global_batch, rank, world_size
        self._threads = max(1, threads)
        self._table = self._dataset.samples.select(_COLUMNS)
        self._max_failure_share = max_failure_share
        cache = cache or CacheConfig()
        self._files = ShardFiles(self._dataset.folder, self._dataset.info["shards"], cache)
        if latents is not None:
            files = ShardFiles(latents.folder, latents.info["shards"], cache)
            latents = latents.reading_with(files.read)
        self._reader = SampleReader(self._dataset.reading_with(self._files.read), sampling, latents)
        chosen = selected(self._dataset, selection)
        self._rows = _long_enough(self._table, chosen, sampling.shortest_clip, self._dataset.folder)
        self._order = GlobalOrder(len(self._rows), data_digest(self._dataset, selection), seed)
        self.position = position
        self.failures: Counter[str] = Counter()
        self.left_out = len(self._dataset) - int(chosen.sum())
        self.too_short = len(self._dataset) - self.left_out - len(self._rows)
        self._attempts = 0

    @property
    def epoch(self) -> int:
        """The epoch that the next global batch begins in."""
        return self.position * self._global_batch // len(self._rows)

    @property
    def samples_per_epoch(self) -> int:
        """Clips that are long enough; each is shown once per epoch."""
        return len(self._rows)

    def __iter__(self) -> Iterator[Batch]:
        """Yield this rank's share of global batch ``position``, ``position + 1``, …, without end."""
        pool = ThreadPoolExecutor(self._threads, thread_name_prefix="loader")
        try:
            ahead = deque(self._submit(pool, self.position + n) for n in range(_BATCHES_AHEAD))
            while True:
                samples = [future.result() for future in ahead.popleft()]
                ahead.append(self._submit(pool, self.position + _BATCHES_AHEAD))
                self._account(samples)
                self.position += 1
                yield _collate(samples)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _submit(self, pool: ThreadPoolExecutor, batch: int) -> list[Future[_Sample]]:
        first = batch * self._global_batch
        mine = range(first + self._rank, first + self._global_batch, self._world_size)
        # Places are looked up here: workers only read.
        return [pool.submit(self._load, *self._order.place(position)) for position in mine]

    def _load(self, epoch: int, index: int) -> _Sample:
        clip = self._clip(index)
        try:
            return self._read(clip, epoch, clip.key)
        except UndecodableError as error:
            return self._substitute(epoch, clip.key, str(error))

    def _substitute(self, epoch: int, wanted: str, reason: str) -> _Sample:
        failed = [(wanted, reason)]
        order = self._order.substitutes(epoch, wanted)
        for n in range(min(_SUBSTITUTES, len(order))):
            clip = self._clip(order[n])
            if clip.key == wanted:
                continue
            try:
                # Another salt than the stand-in's own turn in this epoch: it shows other frames.
                sample = self._read(clip, epoch, f"{clip.key}/{wanted}")
            except UndecodableError as error:
                failed.append((clip.key, str(error)))
            else:
                sample.failed = failed
                return sample
        raise AnimaticError(
            f"dataset {self._dataset.folder}: {len(failed)} samples in a row cannot be decoded "
            f"(first {wanted}: {reason}); run `animatic verify` on it"
        )

    def _clip(self, index: int) -> Clip:
        row = int(self._rows[index])
        cell = {name: self._table.column(name)[row].as_py() for name in _COLUMNS}
        return Clip(row=row, **cell)

    def _read(self, clip: Clip, epoch: int, salt: str) -> _Sample:
        chosen = draw(self._sampling, self._seed, epoch, salt, clip_frames=clip.frames, clip_fps=clip.fps)
        return _Sample(clip.key, clip.caption, chosen, self._reader.read(clip, chosen))

    def _account(self, samples: list[_Sample]) -> None:
        self._attempts += sum(1 + len(sample.failed) for sample in samples)
        for key, reason in (failure for sample in samples for failure in sample.failed):
            self.failures[key] += 1
            log.warning("sample %s cannot be decoded and is replaced: %s", key, reason)
        failed = self.failures.total()
        if self._attempts >= _FAILURES_JUDGED_AFTER and failed > self._max_failure_share * self._attempts:
            raise AnimaticError(
                f"{failed} of {self._attempts} samples cannot be decoded, more than "
                f"{self._max_failure_share:.3g} of them (data.max_failure_share), last "
                f"{next(reversed(self.failures))}: run `animatic verify {self._dataset.folder}`"
            )


def _long_enough(
    table: pa.Table, chosen: npt.NDArray[np.bool_], frames: int, url: object
) -> npt.NDArray[np.int64]:
    """Indices of ``chosen`` rows with at least ``frames`` frames; AnimaticError when there are none."""
    lengths = np.where(chosen, table.column("frames").to_numpy(), -1)
    rows = np.flatnonzero(lengths >= frames)
    if not len(rows):
        raise AnimaticError(
            f"dataset {url}: none of its {chosen.sum()} clips has the {frames} frames that a sample needs "
            f"(longest: {lengths.max(initial=0)}); ingest longer clips or lower `frames`"
        )
    if len(rows) < chosen.sum():
        log.warning(
            "%d of %d clips of %s have fewer than %d frames and are left out",
            chosen.sum() - len(rows),
            chosen.sum(),
            url,
            frames,
        )
    return rows


def _collate(samples: list[_Sample]) -> Batch:
    pixels = _stack([sample.shown.pixels for sample in samples])
    assert pixels is not None
    drawn = [sample.drawn for sample in samples]
    return Batch(
        pixels=pixels.permute(0, 1, 4, 2, 3).contiguous(),
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


def _stack(arrays: Sequence[npt.NDArray[Any] | None]) -> torch.Tensor | None:
    """One tensor of all, or None where there are none."""
    present = [array for array in arrays if array is not None]
    return torch.from_numpy(np.stack(present)) if present else None
