"""The clips of one dataset: which are trained on, what is known of them, and their bytes on this node."""

import logging
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from core.errors import AnimaticError
from pipelines.dataset.cache_config import CacheConfig
from pipelines.dataset.shard_cache import ShardFiles
from pipelines.loader.buckets import Bucket, assign
from pipelines.loader.order import Permutation
from pipelines.loader.reading import Clip, SampleReader
from pipelines.loader.sampling import ClipSampling
from pipelines.loader.weighted_dataset import WeightedDataset

log = logging.getLogger(__name__)

AHEAD = 4  # shards are made ready this part of a window before they are needed
_COLUMNS = ("key", "caption", "frames", "fps", "height", "width")
_ROWS_AT_ONCE = 1 << 16


class ClipStore:
    """The clips of one dataset; shared by its streams and safe to share between threads.

    Attributes:
        digest: of the clips that are trained on.
        chosen: clips that the selection leaves, long enough or not.
        left_out: clips that it leaves out.
        ends: (shards) rows before the end of each shard; rows are stored shard after shard.
        window: shards whose clips are shuffled together.
    """

    def __init__(self, source: WeightedDataset, window: int, cache: CacheConfig) -> None:
        """Raises AnimaticError if the selection leaves nothing, or a shard alone fills the cache."""
        self._dataset, self._latents = source.dataset, source.latents
        shards = self._dataset.info["shards"]
        self._files = [ShardFiles(self._dataset.folder, shards, cache)]
        self._reading = self._dataset.reading_with(self._files[0].read)
        if self._latents is not None:
            self._files.append(ShardFiles(self._latents.folder, self._latents.info["shards"], cache))
            self._latents = self._latents.reading_with(self._files[1].read)
        self._table = self._dataset.samples.select(_COLUMNS)
        self._selected = source.selected()
        self.digest = source.digest
        self.chosen = int(self._selected.sum())
        self.left_out = len(self._dataset) - self.chosen
        self.ends = np.cumsum([shard["samples"] for shard in shards])
        self.window = window

    @property
    def url(self) -> str:
        """Where the dataset is."""
        return self._dataset.url

    @property
    def window_share(self) -> float:
        """A window's share of all shards."""
        return min(1.0, self.window / len(self.ends))

    @property
    def cached_bytes(self) -> float:
        """What the cache must hold for no shard to be fetched twice in an epoch.

        Buckets hardly add to it: they go through the shards in the same order, at nearly the same pace.
        """
        total = sum(files.bytes for files in self._files if files.remote)
        return total * min(1.0, self.window_share * (1 + 2 / AHEAD))

    def rows(self, buckets: Sequence[Bucket], sampling: ClipSampling) -> list[npt.NDArray[np.int64]]:
        """Rows of the clips of each bucket, rising; AnimaticError when all are empty."""
        table = self._table.select(["height", "width", "frames", "fps"])
        assigned = [np.empty(0, np.int16)]
        for batch in table.to_batches(max_chunksize=_ROWS_AT_ONCE):
            heights, widths, frames, fps = (column.to_numpy() for column in batch.columns)
            assigned.append(assign(buckets, sampling, heights=heights, widths=widths, frames=frames, fps=fps))
        numbers = np.concatenate(assigned)
        found = [np.flatnonzero(self._selected & (numbers == number)) for number in range(len(buckets))]
        self._report(sum(map(len, found)), min(bucket.frames for bucket in buckets))
        return found

    def reader(self, sampling: ClipSampling) -> SampleReader:
        """A reader of samples. Raises AnimaticError if the latents do not fit them."""
        return SampleReader(self._reading, sampling, self._latents)

    def clip(self, row: int) -> Clip:
        """What is known of a clip."""
        cell = {name: self._table.column(name)[row].as_py() for name in _COLUMNS}
        return Clip(row=row, **cell)

    def clips(self, sampling: ClipSampling, order: bytes) -> Iterator[Clip]:
        """All clips that are long enough, of any bucket, shuffled by ``order``."""
        shuffled = Permutation(len(self._selected), order)
        for row in (shuffled[place] for place in range(len(shuffled))):
            clip = self.clip(row)
            if self._selected[row] and clip.frames >= sampling.frames_needed(np.array([clip.fps]))[0]:
                yield clip

    def prepare(self, shard: int) -> None:
        """Check or fetch a shard, and that of the latents, for reads to come."""
        for files in self._files:
            files.prepare(shard)

    def _report(self, usable: int, shortest: int) -> None:
        """Of the clips that are too short for all buckets."""
        if not usable:
            longest = np.where(self._selected, self._table.column("frames").to_numpy(), 0).max(initial=0)
            raise AnimaticError(
                f"dataset {self.url}: none of its {self.chosen} clips has the {shortest} frames that a "
                f"sample needs (longest: {longest}); ingest longer clips or lower `frames`"
            )
        if usable < self.chosen:
            text = "%d of %d clips of %s have fewer than the %d frames that a sample needs and are left out"
            log.warning(text, self.chosen - usable, self.chosen, self.url, shortest)
