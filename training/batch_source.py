"""Where training batches come from. Opening a dataset imports no torch, loading batches does."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from core.errors import AnimaticError, TemporaryError
from core.retry import RetryPolicy
from models.bundle import DatasetSummary, TrainedOn
from pipelines.loader import (
    Bucket,
    Captions,
    ClipSampling,
    Weight,
    WeightedDataset,
    digests_before_takedowns,
    training_digest,
)
from training.config import RunConfig
from training.config.data import DataConfig, OtherDataset

if TYPE_CHECKING:
    from models.animator import Animator
    from models.batch import Batch


_PAUSE_S, _MOST_PAUSE_S = 1.0, 30.0


class BatchSource(Protocol):
    """Where batches come from.

    Attributes:
        digest: identifies the data.
        datasets: what ``digest`` is computed from; none where batches come from elsewhere.
    """

    digest: str
    datasets: Sequence[TrainedOn]

    @property
    def failures(self) -> int:
        """Samples that could not be decoded so far, in this process, and were replaced."""
        ...

    def batches(
        self, rank: int, world_size: int, position: int, global_batch: int, data_round: int = 0
    ) -> Iterator[Batch]:
        """The process's shares of global batches ``position``, ``position + 1``, …, without end.

        Args:
            global_batch: samples of each, where no bucket has a number of its own.
            data_round: number of times that the run went back to a checkpoint: other samples in each.
        """
        ...

    def first(self, count: int) -> Batch:
        """The first samples, of ``data.sampling``'s own size."""
        ...

    def size(self) -> int:
        """Number of clips that batches are drawn from."""
        ...

    def check_encoders(self, animator: Animator) -> None:
        """Raise AnimaticError where batches contain latents that are not of this animator's encoders."""
        ...


class RestartError(RuntimeError):
    """What keeps a run from its data may pass: processes that are restarted resume from the checkpoint."""


class DatasetSource:
    """Batches of an ingested dataset, or of several that are mixed."""

    def __init__(self, config: RunConfig) -> None:
        """Raises AnimaticError when no dataset is set, or it or its latents cannot be read or are stale."""
        if config.data.dataset is None:
            raise AnimaticError(
                "training needs data.dataset, the folder or URL of an ingested dataset: "
                "--set data.dataset=FOLDER"
            )
        data = config.data
        self._config, self._datasets = (
            config,
            [open_configured(each, data.sampling) for each in data.datasets],
        )
        for dataset in self._datasets:
            dataset.check_sampling(data.sampling)
        self.datasets: Sequence[TrainedOn] = [dataset.record() for dataset in self._datasets]
        self.digest: str = training_digest(self.datasets)
        # The digests that the data had before videos were taken down, and when they were.
        self.taken_down = digests_before_takedowns(
            self.datasets, [dataset.records_before() for dataset in self._datasets]
        )
        self._failures: list[Counter[str]] = []

    @property
    def failures(self) -> int:
        """See :class:`BatchSource`."""
        return sum(failures.total() for failures in self._failures)

    def summaries(self) -> list[DatasetSummary]:
        """Of each dataset what a model's card says of it."""
        return [dataset.summary() for dataset in self._datasets]

    def size(self) -> int:
        """See :class:`BatchSource`."""
        return sum(len(dataset.selected()) for dataset in self._datasets)

    def check_encoders(self, animator: Animator) -> None:
        """See :class:`BatchSource`."""
        for dataset in self._datasets:
            dataset.check_encoders(animator.codec, animator.encoders)

    def batches(
        self, rank: int, world_size: int, position: int, global_batch: int, data_round: int = 0
    ) -> Iterator[Batch]:
        """See :class:`BatchSource`."""
        return self._load(
            self._config.data.buckets,
            global_batch,
            rank=rank,
            world_size=world_size,
            position=position,
            data_round=data_round,
        )

    def first(self, count: int) -> Batch:
        """See :class:`BatchSource`."""
        return next(self._load([], count))

    def _load(
        self,
        buckets: Sequence[Bucket],
        global_batch: int,
        *,
        rank: int = 0,
        world_size: int = 1,
        position: int = 0,
        data_round: int = 0,
    ) -> Iterator[Batch]:
        from pipelines.loader import ClipLoader

        data = self._config.data
        loader = ClipLoader(
            self._datasets,
            data.sampling,
            seed=_seed_of_round(self._config.seed, data_round),
            global_batch=global_batch,
            buckets=buckets,
            rank=rank,
            world_size=world_size,
            position=position,
            threads=data.threads,
            max_failure_share=data.max_failure_share,
            shuffle_shards=data.shuffle_shards,
            cache=data.cache,
        )
        self._failures.append(loader.failures)
        with _restarting():
            yield from loader


def takedowns_of(source: BatchSource) -> Mapping[str, str]:
    """The digests that the data had before videos were taken down, and the date of that; for messages."""
    return source.taken_down if isinstance(source, DatasetSource) else {}


def summaries_of(source: BatchSource) -> list[DatasetSummary]:
    """What a model's card says of the datasets that batches come from."""
    return source.summaries() if isinstance(source, DatasetSource) else []


def open_configured(chosen: OtherDataset, sampling: ClipSampling) -> WeightedDataset:
    """The dataset that a configuration names, for such samples.

    Raises AnimaticError as :meth:`WeightedDataset.open` does.
    """
    changes = chosen.weight if isinstance(chosen.weight, list) else [(0, chosen.weight)]
    return WeightedDataset.open(
        chosen.dataset,
        latents=chosen.latents,
        weights=[Weight(*change) for change in changes],
        selection=chosen.selection,
        captions=chosen.captions,
        motion_condition=sampling.motion_condition,
    )


def open_patiently(config: RunConfig) -> DatasetSource:
    """The run's dataset, tried again as long as its store does not answer: for processes that were restarted.

    Raises AnimaticError as :class:`DatasetSource` does, and RestartError after ``data.cache.patience_s``.
    """
    retry = RetryPolicy(
        None,
        _PAUSE_S,
        jitter=True,
        on=(TemporaryError,),
        most_pause_s=_MOST_PAUSE_S,
        patience_s=config.data.cache.patience_s,
    )
    with _restarting():
        return retry.call(lambda: DatasetSource(config))


def held_out_source(config: RunConfig) -> DatasetSource:
    """``validation.data``, as samples of the run's size and rate that are the same for every run.

    Their condition is the first frame, as when a picture is animated; their caption the table's first one;
    their tempo as filmed, their motion unspecified.

    Raises AnimaticError as :class:`DatasetSource` does.
    """
    sampling = config.data.sampling.model_copy(
        update={"condition": "first", "flip": False, "tempo": (1.0, 1.0), "motion_condition": False}
    )
    data = DataConfig(
        dataset=config.validation.data,
        captions=Captions(draw="first"),
        sampling=sampling,
        threads=config.data.threads,
        max_failure_share=config.data.max_failure_share,
        cache=config.data.cache,
    )
    return DatasetSource(config.model_copy(update={"data": data, "seed": 0}))


def _seed_of_round(seed: int, data_round: int) -> int:
    """The seed of the data after the run went back ``data_round`` times."""
    if not data_round:
        return seed
    return int.from_bytes(hashlib.sha256(f"{seed} {data_round}".encode()).digest()[:4])


@contextmanager
def _restarting() -> Iterator[None]:
    try:
        yield
    except TemporaryError as error:
        raise RestartError(str(error)) from error
