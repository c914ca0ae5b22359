"""One unit of scoring: the samples of one shard → values of columns. This is what an actor does."""

import functools
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from pydantic import JsonValue

from core.errors import AnimaticError
from core.storage import Folder
from pipelines.cluster.column_jobs import WantedColumn
from pipelines.cluster.shard_jobs import ShardTask, read_member
from pipelines.dataset.columns import current_unit_values, write_unit_values
from pipelines.score.config import MetricName, ScoreConfig
from pipelines.score.frames import StoredImage, clip_frames
from pipelines.score.metrics import build_metrics
from pipelines.score.metrics.metric import Metric, Observer, ScoredRow, Value
from pipelines.video.frames import UndecodableError

Metrics = dict[MetricName, Metric[Any]]
# Of one sample by metric; None where what the metric reads cannot be decoded.
Observed = dict[MetricName, Observer | None]


class UnitScorer:
    """Holds the metrics and scores units with them; runs as a Ray actor."""

    def __init__(self, config: ScoreConfig, wanted: dict[MetricName, list[WantedColumn]]) -> None:
        """``wanted``: of each metric the columns that it must have, with their sources."""
        self._config, self._wanted = config, wanted
        self._folder = Folder(config.dataset)

    def ready(self) -> None:
        """Returns once the models are loaded. Raises AnimaticError if they are not those of the driver."""
        _ = self._metrics

    @functools.cached_property
    def _metrics(self) -> Metrics:
        metrics = build_metrics(self._config, list(self._wanted))
        for name, metric in metrics.items():
            if metric.columns() != self._wanted[name]:
                raise AnimaticError(
                    f"a worker loads other weights for {name} than this machine: "
                    "give all nodes the same files"
                )
        return metrics

    def make(self, task: ShardTask[ScoredRow]) -> int:
        """Store the missing values of one shard of the dataset; returns its number of samples.

        Raises AnimaticError if the shard cannot be read.
        """
        missing = {name: self._metrics[name] for name in self._wanted if not self._is_stored(name, task)}
        values: dict[MetricName, list[tuple[Value, ...]]] = {name: [] for name in missing}
        rows, size = task.rows, self._config.batch
        batches = [rows[start : start + size] for start in range(0, len(rows), size)]
        with ThreadPoolExecutor(1, thread_name_prefix="decode") as pool:
            # The next batch is decoded while this one is scored.
            decoding = [pool.submit(self._observe, missing, batch) for batch in batches[:1]]
            for number in range(len(batches)):
                if number + 1 < len(batches):
                    decoding.append(pool.submit(self._observe, missing, batches[number + 1]))
                observed = decoding.pop(0).result()
                for name, metric in missing.items():
                    of_columns = len(self._wanted[name])
                    values[name] += _values(metric, [each[name] for each in observed], of_columns)
        for name, tuples in values.items():
            for number, column in enumerate(self._wanted[name]):
                of_column = [_as_json(each[number]) for each in tuples]
                write_unit_values(
                    self._folder, column.name, task.number, task.shard, column.digest, of_column
                )
        return len(rows)

    def _is_stored(self, metric: MetricName, task: ShardTask[ScoredRow]) -> bool:
        return all(
            current_unit_values(self._folder, column.name, task.number, task.shard, column.digest) is not None
            for column in self._wanted[metric]
        )

    def _observe(self, metrics: Metrics, rows: list[ScoredRow]) -> list[Observed]:
        return [self._observe_one(metrics, row) for row in rows]

    def _observe_one(self, metrics: Metrics, row: ScoredRow) -> Observed:
        """One decode of the image and one of the clip, for all metrics."""
        observers: dict[MetricName, Observer] = {n: metric.observer(row) for n, metric in metrics.items()}
        has_clip = row["mp4_offset"] is not None
        of_clip = {n: observers[n] for n, metric in metrics.items() if metric.reads == "clip" and has_clip}
        of_image = {n: each for n, each in observers.items() if n not in of_clip}
        failed: set[MetricName] = set()
        if of_image:
            image = StoredImage(read_member(self._folder, row["shard"], row["jpg_offset"], row["jpg_size"]))
            try:
                for observer in of_image.values():
                    observer.add(image)
            except UndecodableError:
                failed |= of_image.keys()
        if of_clip:
            try:
                self._show_clip(row, list(of_clip.values()))
            except UndecodableError:
                failed |= of_clip.keys()
        return {name: None if name in failed else each for name, each in observers.items()}

    def _show_clip(self, row: ScoredRow, observers: Sequence[Observer]) -> None:
        wanted = [set(each.wanted) for each in observers]
        numbers = set().union(*wanted)
        end = max(numbers, default=-1) + 1
        offset, size = row["mp4_offset"], row["mp4_size"]
        assert offset is not None and size is not None  # a sample without a clip is not asked for it
        mp4 = read_member(self._folder, row["shard"], offset, size)
        for number, frame in clip_frames(mp4, numbers.__contains__, end):
            for each, mine in zip(observers, wanted, strict=True):
                if number in mine:
                    each.add(frame)


def _values(metric: Metric[Any], observed: list[Observer | None], columns: int) -> list[tuple[Value, ...]]:
    """Of every sample a value for each column; None where it could not be observed or is no number."""
    seen = [each for each in observed if each is not None]
    measured = iter(metric.values(seen) if seen else [])
    nothing: tuple[Value, ...] = (None,) * columns
    return [tuple(map(_finite, next(measured))) if each is not None else nothing for each in observed]


def _as_json(value: Value) -> JsonValue:
    return list(value) if isinstance(value, list) else value


def _finite(value: Value) -> Value:
    numbers = value if isinstance(value, list) else [value]
    return value if all(number is not None and math.isfinite(number) for number in numbers) else None
