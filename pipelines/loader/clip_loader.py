"""Training batches from datasets of shards: one global order, resumed from one integer.

The sequence of global batches is a function of the datasets' digests, the seed, the buckets and the global
batch size. Rank r of R takes samples r, r+R, … of every global batch, so any world size trains on the same
batches, and ``position`` (global batches taken so far) is the whole state.
"""

import itertools
import logging
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import KW_ONLY, dataclass, field
from typing import NamedTuple

from core.errors import AnimaticError
from models.batch import Batch
from pipelines.dataset import Dataset
from pipelines.dataset.cache_config import CacheConfig
from pipelines.loader.batching import BatchComposer
from pipelines.loader.buckets import Bucket
from pipelines.loader.clip_store import ClipStore
from pipelines.loader.collate import collate
from pipelines.loader.sample_stream import LoadedSample, SampleStream
from pipelines.loader.sampling import ClipSampling
from pipelines.loader.shuffle import SHUFFLE_SHARDS
from pipelines.loader.weighted_dataset import WeightedDataset

log = logging.getLogger(__name__)

_BATCHES_AHEAD = 2
_MIN_ATTEMPTS = 100  # below that, a share of failures means little
_PREPARERS = 2
_IMAGES_PER_TASK = 8  # passing one between threads costs a tenth of decoding it


class _LoadedBatch(NamedTuple):
    samples: list[LoadedSample]
    batch: Batch


class _Request(NamedTuple):
    """One sample to load."""

    stream: SampleStream
    position: int


@dataclass(eq=False, repr=False)
class ClipLoader:
    """Endless training batches of one rank.

    Samples that cannot be read or decoded are counted in ``failures``, logged with their key and replaced
    by the first readable sample of an order drawn for that key and epoch. Shards are checked against their
    digests when they are first used, remote ones fetched: see :mod:`pipelines.dataset.shard_cache`; a
    damaged one ends the iteration with an AnimaticError. Clips with too few frames for a sample are left out
    when the dataset is opened.

    Attributes:
        datasets: one whole dataset, or those to mix by weight.
        sampling: how samples are taken from clips.
        seed: of the order and of the samples' parameters.
        global_batch: samples per batch over all ranks, for buckets without a batch size of their own.
        buckets: sizes of samples in place of ``sampling``'s; each batch belongs to one of them.
        rank, world_size: of this process.
        position: global batches before the next one.
        threads: that decode in the background.
        max_failure_share: iteration ends with an AnimaticError when a larger share of the samples tried has
            failed.
        shuffle_shards: shards that are shuffled together; remote ones must fit into the cache.
        cache: where fetched shards are kept.
        failures: how often each sample could not be decoded, by key.
    """

    datasets: Dataset | Sequence[WeightedDataset]
    sampling: ClipSampling
    _: KW_ONLY
    seed: int
    global_batch: int
    buckets: Sequence[Bucket] = ()
    rank: int = 0
    world_size: int = 1
    position: int = 0
    threads: int = 1
    max_failure_share: float = 0.05
    shuffle_shards: int = SHUFFLE_SHARDS
    cache: CacheConfig = field(default_factory=CacheConfig)
    failures: Counter[str] = field(default_factory=Counter, init=False)

    def __post_init__(self) -> None:
        """Raises AnimaticError if a dataset has no clip that is long enough, if latents do not fit, if the
        cache is too small, or if ranks cannot share a batch evenly.
        """
        if not 0 <= self.rank < self.world_size:
            raise ValueError(f"rank {self.rank} outside world of {self.world_size}")
        batch_sizes = self._batch_sizes()
        datasets = [WeightedDataset(self.datasets)] if isinstance(self.datasets, Dataset) else self.datasets
        if len({dataset.latents is None for dataset in datasets}) > 1:
            raise AnimaticError("either all datasets that are mixed have latents or none has")
        self._stores = [ClipStore(dataset, self.shuffle_shards, self.cache) for dataset in datasets]
        _check_cache(self._stores, self.cache)
        self._streams = [self._streams_of(store) for store in self._stores]
        clips = [[len(stream) for stream in of_dataset] for of_dataset in self._streams]
        for bucket, of_bucket in zip(self._sizes, zip(*clips, strict=True), strict=True):
            if not any(of_bucket):
                log.warning("no clip belongs to bucket %s, which has no steps", bucket)
        self._composer = BatchComposer(clips, batch_sizes, [each.weights for each in datasets], self.seed)
        self._attempts = 0

    @property
    def epoch(self) -> int:
        """The epoch in which the next global batch begins; of several datasets, the first one's."""
        return self._composer.counts(self.position)[0] // sum(len(stream) for stream in self._streams[0])

    @property
    def samples_per_epoch(self) -> int:
        """Clips that are long enough, of all datasets together; each dataset has epochs of its own."""
        return sum(len(stream) for of_dataset in self._streams for stream in of_dataset)

    @property
    def left_out(self) -> int:
        """Clips that selections leave out."""
        return sum(store.left_out for store in self._stores)

    @property
    def too_short(self) -> int:
        """Clips with too few frames for a sample; with buckets, for every bucket of their shape."""
        return sum(store.selected for store in self._stores) - self.samples_per_epoch

    def __iter__(self) -> Iterator[Batch]:
        """Yield this rank's share of global batch ``position``, ``position + 1``, …, without end."""
        ahead = deque[Future[_LoadedBatch]]()
        # Collating has its own thread: a step waits neither for samples nor while they are stacked.
        with (
            _pool(1, "collate") as collating,
            _pool(_PREPARERS, "shards") as preparing,
            _pool(max(1, self.threads), "loader") as loading,
        ):
            for step in itertools.count(self.position):
                requests = self._requests(step)
                tasks = [loading.submit(_load, some) for some in self._chunks(requests)]
                preparing.submit(_prepare, requests)
                ahead.append(collating.submit(_collect, tasks))
                if len(ahead) > _BATCHES_AHEAD:
                    loaded = ahead.popleft().result()
                    self._count_failures(loaded.samples)
                    self.position += 1
                    yield loaded.batch

    def _requests(self, step: int) -> list[_Request]:
        bucket, samples = self._composer.compose(step, self.rank, self.world_size)
        return [_Request(self._streams[sample.dataset][bucket], sample.position) for sample in samples]

    def _chunks(self, requests: list[_Request]) -> Iterator[list[_Request]]:
        """Requests in the groups that one task loads."""
        size = _IMAGES_PER_TASK if self.sampling.images_only else 1
        return (requests[start : start + size] for start in range(0, len(requests), size))

    def _batch_sizes(self) -> list[int]:
        """The global batch of each bucket."""
        sizes = [bucket.batch or self.global_batch for bucket in self._sizes]
        for bucket, size in zip(self._sizes, sizes, strict=True):
            if size < 1 or size % self.world_size:
                name = f"batch of {size} of bucket {bucket}" if self.buckets else f"global batch {size}"
                raise AnimaticError(
                    f"{name} cannot be shared by {self.world_size} workers: "
                    f"make it a multiple of {self.world_size}"
                )
        return sizes

    @property
    def _sizes(self) -> Sequence[Bucket]:
        """The buckets; without any, one of the size of all samples."""
        only = self.sampling
        return self.buckets or [Bucket(height=only.height, width=only.width, frames=only.frames)]

    def _streams_of(self, store: ClipStore) -> list[SampleStream]:
        """A stream for each bucket."""
        return [
            SampleStream(store, bucket.sampling(self.sampling), rows, self.seed)
            for bucket, rows in zip(self._sizes, store.rows(self._sizes, self.sampling), strict=True)
        ]

    def _count_failures(self, samples: list[LoadedSample]) -> None:
        failures = [failure for sample in samples for failure in sample.failures]
        self._attempts += len(samples) + len(failures)
        for failure in failures:
            self.failures[failure.key] += 1
            log.warning("sample %s cannot be decoded and is replaced: %s", failure.key, failure.reason)
        failed = self.failures.total()
        if self._attempts >= _MIN_ATTEMPTS and failed > self.max_failure_share * self._attempts:
            raise AnimaticError(
                f"{failed} of {self._attempts} samples cannot be decoded, more than "
                f"{self.max_failure_share:.3g} of them (data.max_failure_share), last "
                f"{next(reversed(self.failures))}: run `animatic verify` on {_urls(self._stores)}"
            )


@contextmanager
def _pool(threads: int, name: str) -> Iterator[ThreadPoolExecutor]:
    """Threads that drop what they have not begun when the block ends, and finish the rest."""
    executor = ThreadPoolExecutor(threads, thread_name_prefix=name)
    try:
        yield executor
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def _load(requests: Sequence[_Request]) -> list[LoadedSample]:
    return [stream.load(position) for stream, position in requests]


def _prepare(requests: Sequence[_Request]) -> None:
    for stream, position in requests:
        stream.prepare(position)


def _collect(tasks: list[Future[list[LoadedSample]]]) -> _LoadedBatch:
    samples = [sample for task in tasks for sample in task.result()]
    return _LoadedBatch(samples, collate(samples))


def _urls(stores: Sequence[ClipStore]) -> str:
    return ", ".join(store.url for store in stores)


def _check_cache(stores: Sequence[ClipStore], cache: CacheConfig) -> None:
    needed = sum(store.cached_bytes for store in stores) / 1e9
    if needed > cache.gigabytes:
        raise AnimaticError(
            f"shuffling {_urls(stores)} needs {needed:.1f} GB of cache, not {cache.gigabytes:g}: "
            "raise data.cache.gigabytes or lower data.shuffle_shards"
        )
