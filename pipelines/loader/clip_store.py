"""The clips of one dataset: which are trained on, their rows, and their bytes on this node."""

import logging
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa

from core.errors import AnimaticError
from pipelines.dataset.cache_config import CacheConfig
from pipelines.dataset.shard_cache import ShardFiles
from pipelines.dataset.shard_list import ShardList
from pipelines.loader.buckets import Bucket, assign_buckets
from pipelines.loader.motion_draw import SampleMotion
from pipelines.loader.row_set import Mask, RowSet, RowSetBuilder
from pipelines.loader.rungs import on_rung
from pipelines.loader.sample_reader import ClipRow, SampleReader
from pipelines.loader.sampling import ClipSampling
from pipelines.loader.shuffle import Permutation
from pipelines.loader.weighted_dataset import WeightedDataset

log = logging.getLogger(__name__)

PREPARE_AHEAD = 4  # shards are prepared a window divided by this before they are needed
_COLUMNS = ("key", "caption", "frames", "fps", "height", "width")


class ClipStore:
    """The clips of one dataset; shared by its streams and safe to share between threads.

    Attributes:
        digest: of the clips that are trained on, whatever their captions.
        selected: clips that the selection keeps, long enough or not.
        left_out: clips that it leaves out.
        captions: draws a caption each time a clip is used.
        shard_ends: (shards) rows up to the end of each shard; rows are stored shard after shard.
        window: shards whose clips are shuffled together.
    """

    def __init__(self, source: WeightedDataset, window: int, cache: CacheConfig) -> None:
        """Raises AnimaticError if the selection keeps no clip, or a single shard exceeds the cache."""
        self._dataset, self._latents = source.dataset, source.latents
        shards = self._dataset.info["shards"]
        self._files = [ShardFiles(self._dataset.folder, shards, cache)]
        self._cached = self._dataset.reading_with(self._files[0].read)
        if self._latents is not None:
            self._files.append(ShardFiles(self._latents.folder, self._latents.info["shards"], cache))
            self._latents = self._latents.reading_with(self._files[1].read)
        self._table = self._dataset.rows
        self._chosen = source.selected()
        self.digest = source.clips_digest
        self.captions = source.caption_choice
        self._source = source
        self.selected = len(self._chosen)
        self.left_out = len(self._dataset) - self.selected
        self.shard_ends = np.cumsum(ShardList(shards).samples)
        self.window = window
        self._report_clips_without_caption()

    @property
    def url(self) -> str:
        """Folder or URL of the dataset."""
        return self._dataset.url

    @property
    def motion(self) -> SampleMotion:
        """The subject motion of samples. Raises AnimaticError if the dataset lacks its column."""
        return self._source.motion

    @property
    def window_share(self) -> float:
        """A window's share of all shards."""
        return min(1.0, self.window / len(self.shard_ends))

    @property
    def cached_bytes(self) -> float:
        """What the cache must hold so that no shard is fetched twice in an epoch.

        Buckets hardly add to it: they read the shards in the same order, at nearly the same pace.
        """
        total = sum(files.bytes for files in self._files if files.remote)
        return total * min(1.0, self.window_share * (1 + 2 / PREPARE_AHEAD))

    def rows(self, buckets: Sequence[Bucket], sampling: ClipSampling) -> list[RowSet]:
        """Rows of the clips of each bucket. Raises AnimaticError if no bucket has any."""
        builders = [RowSetBuilder() for _ in buckets]
        for batch, chosen in self._batches(["height", "width", "frames", "fps"]):
            heights, widths, frames, fps = (column.to_numpy() for column in batch.columns)
            assigned = assign_buckets(
                buckets, sampling, heights=heights, widths=widths, frames=frames, fps=fps
            )
            for number, builder in enumerate(builders):
                builder.add(chosen & (assigned == number))
        rows = [builder.built() for builder in builders]
        self._report_short_clips(sum(map(len, rows)), min(bucket.frames for bucket in buckets))
        return rows

    def reader(self, sampling: ClipSampling) -> SampleReader:
        """A reader of samples. Raises AnimaticError if the latents do not fit them."""
        return SampleReader(self._cached, sampling, self._latents)

    def clip(self, row: int, sampling: ClipSampling) -> ClipRow:
        """The clip in ``row``, in the encoding that samples of it are taken from."""
        clip, rungs = self._clip(row), self._dataset.rungs(row)
        # Latents have the clip's own rate.
        return on_rung(clip, rungs, sampling, any_rate=self._latents is None) if rungs else clip

    def clips(self, sampling: ClipSampling, order: bytes) -> Iterator[ClipRow]:
        """All clips that are long enough, of any bucket, shuffled by ``order``."""
        shuffled = Permutation(self._chosen.rows, order)
        for row in (shuffled[position] for position in range(len(shuffled))):
            clip = self._clip(row)
            if row in self._chosen and clip.frames >= sampling.frames_needed(np.array([clip.fps]))[0]:
                yield self.clip(row, sampling)

    def prepare(self, shard: int) -> None:
        """Check or fetch a shard, and the latents' shard of the same number, for later reads."""
        for files in self._files:
            files.prepare(shard)

    def _clip(self, row: int) -> ClipRow:
        return ClipRow(row=row, **self._table.cells(row, _COLUMNS))

    def _batches(self, columns: list[str]) -> Iterator[tuple[pa.RecordBatch, Mask]]:
        """Some columns of all rows, and which rows are chosen, a batch at a time."""
        start = 0
        for batch in self._table.batches(columns):
            yield batch, self._chosen.mask(start, start + len(batch))
            start += len(batch)

    def _report_clips_without_caption(self) -> None:
        missing = self.captions.without(self._chosen)
        if missing:
            log.warning(
                "%d of %d clips of %s have no caption and are trained on as if their text were dropped: "
                "`animatic caption %s` writes captions, data.captions.sources reads them",
                missing,
                self.selected,
                self.url,
                self.url,
            )

    def _report_short_clips(self, usable: int, fewest_frames: int) -> None:
        """Warn of clips that are too short for all buckets; AnimaticError if that is every one."""
        if not usable:
            longest = max(
                np.where(chosen, batch.column(0).to_numpy(), 0).max(initial=0)
                for batch, chosen in self._batches(["frames"])
            )
            raise AnimaticError(
                f"dataset {self.url}: none of its {self.selected} clips has the {fewest_frames} frames that "
                f"a sample needs (longest: {longest}); ingest longer clips or lower `frames`"
            )
        if usable < self.selected:
            log.warning(
                "%d of %d clips of %s have fewer than the %d frames that a sample needs and are left out",
                self.selected - usable,
                self.selected,
                self.url,
                fewest_frames,
            )
