"""Training batches from datasets of shards: one global order, resumed from one integer.

The sequence of global batches is a function of the dataset's digest, the seed and the global batch
size. Rank r of R takes positions r, r+R, … of every global batch, so any world size sees the same
batches, and ``position`` (global batches handed out) is the whole state.
"""

import itertools
import logging
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from models.animator import Batch
from models.errors import AnimaticError
from pipelines.dataset import Dataset
from pipelines.dataset.latents import Latents
from pipelines.dataset.selection import EVERYTHING, Selection
from pipelines.loader.collate import collate
from pipelines.loader.mixture import Mixture, Turn, Weight
from pipelines.loader.sampling import ClipSampling
from pipelines.loader.stream import SHUFFLE_SHARDS, LoadedSample, Stream, StreamSettings
from pipelines.storage.shard_files import CacheConfig

__all__ = ["ClipLoader", "ClipSampling", "Part"]

log = logging.getLogger(__name__)

_BATCHES_AHEAD = 2
_FAILURES_JUDGED_AFTER = 100
_PREPARERS = 2


@dataclass(frozen=True)
class Part:
    """One of several datasets that are trained on together; ``weights`` are relative to the others'."""

    dataset: Dataset
    weights: Sequence[Weight] = (Weight(0, 1.0),)
    latents: Latents | None = None
    selection: Selection = EVERYTHING


class ClipLoader:
    """Endless training batches of one rank.

    Samples that cannot be read or decoded are counted in ``failures``, logged with their key and replaced
    by the first readable sample of an order drawn for that key and epoch. Shards are checked against their
    digests when they are first used, remote ones fetched: see :mod:`pipelines.storage.shard_files`. Clips
    with fewer frames than ``sampling.frames`` are left out when the dataset is opened (``too_short`` counts
    them).
    """

    def __init__(
        self,
        dataset: Dataset | str | Path | Sequence[Part],
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
        shuffle_shards: int = SHUFFLE_SHARDS,
        cache: CacheConfig | None = None,
    ) -> None:
        """Start after ``position`` global batches; ``threads`` decode in the background.

        Several datasets are given as parts, which have latents and a selection of their own. Otherwise,
        ``latents`` of the dataset are given in place of pixels; nothing else about the batches changes.
        Clips that ``selection`` leaves out are not shown (``left_out`` counts them). When more than
        ``max_failure_share`` of the samples that were tried have failed, iteration ends with an
        AnimaticError, and so it does at a damaged shard. ``shuffle_shards`` shards are shuffled together;
        remote ones must find room in the cache.

        Raises AnimaticError when the dataset has no clip that is long enough, when the cache is too small,
        or when ranks cannot share ``global_batch`` evenly.
        """
        if global_batch < 1 or global_batch % world_size:
            raise AnimaticError(
                f"global batch {global_batch} cannot be shared by {world_size} workers: "
                f"make it a multiple of {world_size}"
            )
        if not 0 <= rank < world_size:
            raise ValueError(f"rank {rank} outside world of {world_size}")
        cache = cache or CacheConfig()
        if isinstance(dataset, str | Path):
            dataset = Dataset.open(dataset)
        if isinstance(dataset, Dataset):
            dataset = [Part(dataset, latents=latents, selection=selection)]
        if len({part.latents is None for part in dataset}) > 1:
            raise AnimaticError("either all datasets that are mixed have latents or none has")
        self._streams = [
            Stream(
                part.dataset,
                sampling,
                seed,
                StreamSettings(part.selection, shuffle_shards, cache),
                part.latents,
            )
            for part in dataset
        ]
        _require_room(self._streams, cache)
        self._mixture = Mixture.of_steps([part.weights for part in dataset], global_batch, seed)
        self._global_batch, self._rank, self._world_size = global_batch, rank, world_size
        self._threads = max(1, threads)
        self._max_failure_share = max_failure_share
        self.position = position
        self.failures: Counter[str] = Counter()
        self._attempts = 0

    @property
    def epoch(self) -> int:
        """The epoch that the next global batch begins in; with several datasets, that of the first."""
        return self._mixture.shown(self.position * self._global_batch)[0] // len(self._streams[0])

    @property
    def samples_per_epoch(self) -> int:
        """Clips that are long enough; each dataset shows each of its own once in an epoch of its own."""
        return sum(len(stream) for stream in self._streams)

    @property
    def left_out(self) -> int:
        """Clips that the selection leaves out."""
        return sum(stream.left_out for stream in self._streams)

    @property
    def too_short(self) -> int:
        """Clips with too few frames."""
        return sum(stream.too_short for stream in self._streams)

    def __iter__(self) -> Iterator[Batch]:
        """Yield this rank's share of global batch ``position``, ``position + 1``, …, without end."""
        loading = ThreadPoolExecutor(self._threads, thread_name_prefix="loader")
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
        self, loading: ThreadPoolExecutor, preparing: ThreadPoolExecutor, batch: int
    ) -> list[Future[LoadedSample]]:
        first = batch * self._global_batch
        mine = range(first + self._rank, first + self._global_batch, self._world_size)
        turns = [self._mixture.turn(position) for position in mine]
        samples = [loading.submit(self._streams[turn.stream].load, turn.position) for turn in turns]
        preparing.submit(self._prepare, turns)
        return samples

    def _prepare(self, turns: Sequence[Turn]) -> None:
        for turn in turns:
            self._streams[turn.stream].prepare(turn.position)

    @property
    def _places(self) -> str:
        return ", ".join(stream.url for stream in self._streams)

    def _account(self, samples: list[LoadedSample]) -> None:
        self._attempts += sum(1 + len(sample.failed) for sample in samples)
        for key, reason in (failure for sample in samples for failure in sample.failed):
            self.failures[key] += 1
            log.warning("sample %s cannot be decoded and is replaced: %s", key, reason)
        failed = self.failures.total()
        if self._attempts >= _FAILURES_JUDGED_AFTER and failed > self._max_failure_share * self._attempts:
            raise AnimaticError(
                f"{failed} of {self._attempts} samples cannot be decoded, more than "
                f"{self._max_failure_share:.3g} of them (data.max_failure_share), last "
                f"{next(reversed(self.failures))}: run `animatic verify` on {self._places}"
            )


def _collated(samples: list[Future[LoadedSample]]) -> tuple[list[LoadedSample], Batch]:
    loaded = [sample.result() for sample in samples]
    return loaded, collate(loaded)


def _require_room(streams: Sequence[Stream], cache: CacheConfig) -> None:
    needed = sum(stream.cached_bytes for stream in streams) / 1e9
    if needed > cache.gigabytes:
        raise AnimaticError(
            f"shuffling {', '.join(stream.url for stream in streams)} needs {needed:.1f} GB of cache, not "
            f"{cache.gigabytes:g}: raise data.cache.gigabytes or lower data.shuffle_shards"
        )
