"""The job: scores of a dataset's samples, each a column beside it, on Ray actors.

The dataset and its digest stay as they are, another model's scores replace those before, and training selects
by them (``data.selection``).
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from core.config.locations import with_absolute_paths
from core.errors import AnimaticError
from pipelines.cluster.column_jobs import WantedColumn, make_columns
from pipelines.cluster.shard_jobs import Progress
from pipelines.dataset import Dataset
from pipelines.dataset.columns import column_source, read_column
from pipelines.score.config import MetricName, ScoreConfig
from pipelines.score.earlier import adopt_earlier_scores
from pipelines.score.metrics import build_metrics
from pipelines.score.metrics.metric import ScoredRow
from pipelines.score.unit import UnitScorer


@dataclass(frozen=True)
class ColumnFigures:
    """Values of a column over the samples; ``failed`` of them have none."""

    failed: int
    least: float
    median: float
    most: float


@dataclass(frozen=True)
class ScoreReport:
    """What was scored: figures of each column by name.

    ``made_units`` were scored now, ``skipped_units`` before.
    """

    samples: int
    columns: dict[str, ColumnFigures]
    seconds: float
    skipped_units: int
    made_units: int


def score(config: ScoreConfig, progress: Progress = lambda done, total: None) -> ScoreReport:
    """Compute the columns of the chosen metrics where they are missing or of other models.

    ``progress`` gets (samples done, samples). Raises AnimaticError if the dataset or a model cannot be read,
    or if a metric has no value for any sample.
    """
    started = time.monotonic()
    config = with_absolute_paths(config, "dataset", "head", "detector", "encoders.path")
    dataset = Dataset.open(config.dataset)
    wanted = _columns(config, dataset)
    columns = [column for of_metric in wanted.values() for column in of_metric]
    missing = {
        name: of_metric
        for name, of_metric in wanted.items()
        if any(column_source(dataset.folder, each.name) != each.source_with(dataset) for each in of_metric)
    }
    if "clip" in missing:
        adopt_earlier_scores(dataset, *missing["clip"])
    made = make_columns(
        config,
        dataset,
        [column for of_metric in missing.values() for column in of_metric],
        UnitScorer,
        (config, missing),
        columns=tuple(ScoredRow.__annotations__),
        progress=progress,
    )
    return ScoreReport(
        samples=len(dataset),
        columns=_figures(dataset, columns),
        seconds=time.monotonic() - started,
        skipped_units=len(dataset.info["shards"]) - made,
        made_units=made,
    )


def _columns(config: ScoreConfig, dataset: Dataset) -> dict[MetricName, list[WantedColumn]]:
    metrics = build_metrics(config, config.metrics)
    if dataset.info["config"].get("kind") == "images":
        unsuited = [name for name, metric in metrics.items() if not metric.suits_images]
        if unsuited:
            raise AnimaticError(
                f"{dataset.folder} contains images, which have no clips to measure: leave "
                f"{', '.join(unsuited)} out of the metrics"
            )
    return {name: metric.columns() for name, metric in metrics.items()}


def _figures(dataset: Dataset, columns: Iterable[WantedColumn]) -> dict[str, ColumnFigures]:
    """Of the columns of numbers; those of lists are of the same samples as one of these."""
    return {
        column.name: _figures_of(dataset, column.name, read_column(dataset, column.name).values)
        for column in columns
        if pa.types.is_floating(column.type)
    }


def _figures_of(dataset: Dataset, name: str, values: pa.ChunkedArray) -> ColumnFigures:
    known = values.drop_null().to_numpy()
    if not len(known):
        raise AnimaticError(
            f"not one of the {len(dataset)} samples of {dataset.folder} has a value for {name}: they "
            "cannot be decoded, are too short or show nothing"
        )
    least, median, most = (float(np.quantile(known, q)) for q in (0, 0.5, 1))
    return ColumnFigures(len(values) - len(known), least, median, most)
