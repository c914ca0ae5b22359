"""Training batches from datasets of shards: one global order, resumed from one integer.

The sequence of global batches is a function of the dataset's digest, the seed, the buckets and the global
batch size. Rank r of R takes positions r, r+R, … of every global batch, so any world size sees the same
batches, and ``position`` (global batches handed out) is the whole state.
"""

import itertools
import logging
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path

from core.errors import AnimaticError
from models.batch import Batch
from pipelines.dataset import Dataset
from pipelines.dataset.cache_config import CacheConfig
from pipelines.dataset.latents import Latents
from pipelines.loader.buckets import Bucket
from pipelines.loader.collate import collate
from pipelines.loader.order import SHUFFLE_SHARDS
from pipelines.loader.plan import Plan
from pipelines.loader.sampling import ClipSampling
from pipelines.loader.selection import EVERYTHING, Selection
from pipelines.loader.store import ClipStore
from pipelines.loader.stream import LoadedSample, Stream
from pipelines.loader.weighted_dataset import WeightedDataset

log = logging.getLogger(__name__)

_BATCHES_AHEAD = 2
_FAILURES_JUDGED_AFTER = 100
_PREPARERS = 2
_IMAGES_AT_ONCE = 8  # handing one over costs a tenth of decoding it


@dataclass(eq=False, repr=False)
class ClipLoader:
    """Endless training batches of one rank.

    Samples that cannot be read or decoded are counted in ``failures``, logged with their key and replaced
    by the first readable sample of an order drawn for that key and epoch. Shards are checked against their
    digests when they are first used, remote ones fetched: see :mod:`pipelines.dataset.shard_cache`; a
    damaged one ends the iteration with an AnimaticError. Clips with too few frames for a sample are left out
    when the dataset is opened.

    Attributes:
        dataset: several are given as parts, which have latents and a selection of their own.
        seed: of order and draws.
        global_batch: samples of all ranks together.
        buckets: the sizes of samples, in place of ``sampling``'s own; each batch is of one of them.
        position: global batches before the next one.
        threads: that decode in the background.
        latents: of the dataset, in place of pixels; nothing else about the batches changes.
        selection: of its clips, the others are not shown.
        max_failure_share: when a larger share of the samples that were tried has failed, iteration ends with
            an AnimaticError.
        shuffle_shards: that many are shuffled together; remote ones must find room in the cache.
    """

    dataset: Dataset | str | Path | Sequence[WeightedDataset]
    sampling: ClipSampling
    _: KW_ONLY
    seed: int
    global_batch: int
    buckets: Sequence[Bucket] = ()
    rank: int = 0
    world_size: int = 1
    position: int = 0
    threads: int = 1
    latents: Latents | None = None
    selection: Selection = EVERYTHING
    max_failure_share: float = 0.05
    shuffle_shards: int = SHUFFLE_SHARDS
    cache: CacheConfig = field(default_factory=CacheConfig)
    failures: Counter[str] = field(default_factory=Counter, init=False)

    def __post_init__(self) -> None:
        """Raises AnimaticError when a dataset has no clip that is long enough, when latents do not fit, when
        the cache is too small, or when ranks cannot share a batch evenly.
        """
        if not 0 <= self.rank < self.world_size:
            raise ValueError(f"rank {self.rank} outside world of {self.world_size}")
        batches = self._checked_batches()
        parts = self._parts()
        self._stores = [ClipStore(part, self.shuffle_shards, self.cache) for part in parts]
        _require_room(self._stores, self.cache)
        self._streams = [self._streams_of(store) for store in self._stores]
        clips = [[len(stream) for stream in of_dataset] for of_dataset in self._streams]
        for bucket, of_bucket in zip(self._sizes, zip(*clips, strict=True), strict=True):
            if not any(of_bucket):
                log.warning("no clip belongs into bucket %s, which has no steps", bucket)
        self._plan = Plan(clips, batches, [part.weights for part in parts], self.seed)
        self._attempts = 0

    @property
    def epoch(self) -> int:
        """The epoch that the next global batch begins in; with several datasets, that of the first."""
        return self._plan.shown(self.position)[0] // sum(len(stream) for stream in self._streams[0])

    @property
    def samples_per_epoch(self) -> int:
        """Clips that are long enough; each dataset shows each of its own once in an epoch of its own."""
        return sum(len(stream) for of_dataset in self._streams for stream in of_dataset)

    @property
    def left_out(self) -> int:
        """Clips that the selection leaves out."""
        return sum(store.left_out for store in self._stores)

    @property
    def too_short(self) -> int:
        """Clips with too few frames, in buckets: for all buckets of their shape."""
        return sum(store.chosen for store in self._stores) - self.samples_per_epoch

    def __iter__(self) -> Iterator[Batch]:
        """Yield this rank's share of global batch ``position``, ``position + 1``, …, without end."""
        loading = ThreadPoolExecutor(max(1, self.threads), thread_name_prefix="loader")
        preparing = ThreadPoolExecutor(_PREPARERS, thread_name_prefix="shards")
        # Of its own: a step must wait neither for samples nor while they are put together.
        collating = ThreadPoolExecutor(1, thread_name_prefix="collate")
        try:
            ahead = deque[Future[tuple[list[LoadedSample], Batch]]]()
            for position in itertools.count(self.position):
                samples = self._submit(loading, preparing, position)
                ahead.append(collating.submit(_collated, samples))
                if len(ahead) > _BATCHES_AHEAD:
                    loaded, batch = ahead.popleft().result()
                    self._account(loaded)
                    self.position += 1
                    yield batch
        finally:
            for pool in (loading, preparing, collating):
                pool.shutdown(wait=True, cancel_futures=True)

    def _submit(
        self, loading: ThreadPoolExecutor, preparing: ThreadPoolExecutor, step: int
    ) -> list[Future[list[LoadedSample]]]:
        bucket, turns = self._plan.turns(step, self.rank, self.world_size)
        mine = [(self._streams[turn.stream][bucket], turn.position) for turn in turns]
        size = _IMAGES_AT_ONCE if self.sampling.images_only else 1
        samples = [loading.submit(_load, mine[n : n + size]) for n in range(0, len(mine), size)]
        preparing.submit(_prepare, mine)
        return samples

    def _checked_batches(self) -> list[int]:
        """The global batch of each bucket."""
        batches = [bucket.batch or self.global_batch for bucket in self._sizes]
        for bucket, batch in zip(self._sizes, batches, strict=True):
            if batch < 1 or batch % self.world_size:
                name = f"batch of {batch} of bucket {bucket}" if self.buckets else f"global batch {batch}"
                raise AnimaticError(
                    f"{name} cannot be shared by {self.world_size} workers: "
                    f"make it a multiple of {self.world_size}"
                )
        return batches

    def _parts(self) -> Sequence[WeightedDataset]:
        dataset = Dataset.open(self.dataset) if isinstance(self.dataset, str | Path) else self.dataset
        if isinstance(dataset, Dataset):
            return [WeightedDataset(dataset, latents=self.latents, selection=self.selection)]
        if len({part.latents is None for part in dataset}) > 1:
            raise AnimaticError("either all datasets that are mixed have latents or none has")
        return dataset

    @property
    def _sizes(self) -> Sequence[Bucket]:
        """The buckets; without any, all samples are of one size."""
        one = self.sampling
        return self.buckets or [Bucket(height=one.height, width=one.width, frames=one.frames)]

    def _streams_of(self, store: ClipStore) -> list[Stream]:
        rows = store.rows(self._sizes, self.sampling)
        return [
            Stream(store, bucket.sampling(self.sampling), mine, self.seed)
            for bucket, mine in zip(self._sizes, rows, strict=True)
        ]

    def _account(self, samples: list[LoadedSample]) -> None:
        self._attempts += sum(1 + len(sample.failed) for sample in samples)
        for key, reason in (failure for sample in samples for failure in sample.failed):
            self.failures[key] += 1
            log.warning("sample %s cannot be decoded and is replaced: %s", key, reason)
        failed = self.failures.total()
        if self._attempts >= _FAILURES_JUDGED_AFTER and failed > self.max_failure_share * self._attempts:
            raise AnimaticError(
                f"{failed} of {self._attempts} samples cannot be decoded, more than "
                f"{self.max_failure_share:.3g} of them (data.max_failure_share), last "
                f"{next(reversed(self.failures))}: run `animatic verify` on {_places(self._stores)}"
            )


def _load(turns: Sequence[tuple[Stream, int]]) -> list[LoadedSample]:
    return [stream.load(position) for stream, position in turns]


def _collated(tasks: list[Future[list[LoadedSample]]]) -> tuple[list[LoadedSample], Batch]:
    loaded = [sample for task in tasks for sample in task.result()]
    return loaded, collate(loaded)


def _prepare(turns: Sequence[tuple[Stream, int]]) -> None:
    for stream, position in turns:
        stream.prepare(position)


def _places(stores: Sequence[ClipStore]) -> str:
    return ", ".join(store.url for store in stores)


def _require_room(stores: Sequence[ClipStore], cache: CacheConfig) -> None:
    needed = sum(store.cached_bytes for store in stores) / 1e9
    if needed > cache.gigabytes:
        raise AnimaticError(
            f"shuffling {_places(stores)} needs {needed:.1f} GB of cache, not {cache.gigabytes:g}: "
            "raise data.cache.gigabytes or lower data.shuffle_shards"
        )
