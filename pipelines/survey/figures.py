"""A dataset in figures: counts, ranges, histograms, examples of rejections, throughput."""

from dataclasses import dataclass
from typing import TypedDict

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.dataset import Dataset
from pipelines.dataset.columns import column_source, stored_columns
from pipelines.dataset.records import Counts, Settings
from pipelines.ingest.timings import read_timings
from pipelines.loader import number_columns, numbers
from pipelines.survey.distributions import Distribution, distributions
from pipelines.survey.rates import Rate, rates
from pipelines.survey.texts import CaptionFigures, LabelFigures, texts

Values = npt.NDArray[np.float64]

# Columns of samples.parquet and their units.
_UNITS = {
    "duration": "seconds",
    "fps": "frames per second",
    "frames": "frames",
    "width": "pixels",
    "height": "pixels",
    "motion": "luma levels in an eighth of a second",
    "brightness": "luma, 16 to 235",
    "text": "share of the picture",
}
# Columns beside a dataset.
_UNITS_BESIDE = {
    "clip_similarity": "of image and caption, -1 to 1",
    "aesthetic": "mean rating, mostly 1 to 10",
    "aesthetic_min": "smallest rating of a frame",
    "flow": "percent of the short side a second",
    "subject_motion": "percent of the short side a second, without the camera's motion",
    "screen_text": "share of the picture",
    "blur": "0 sharp to 1",
    "similarity": "cosine to the clip that it is similar to",
}
_HISTOGRAMS = ("duration", "fps", "motion", "brightness", "text")
_MAX_DISTINCT = 8  # values; up to that many, each has a bar
_BINS = 24
_SIZES = 10
_EXAMPLES = 3


@dataclass(frozen=True)
class Range:
    """Smallest, mean and largest value."""

    min: float
    mean: float
    max: float


@dataclass(frozen=True)
class Histogram:
    """Counts of samples by value.

    With as many edges as counts, bar i is for the value ``edges[i]``; with one edge more, for values from
    ``edges[i]`` to ``edges[i + 1]``.
    """

    name: str
    unit: str
    edges: list[float]
    counts: list[int]


class RejectedExample(TypedDict):
    """One rejected row: its number, its id, and the details of the reason."""

    row: int
    source_id: str
    detail: str


@dataclass(frozen=True)
class Survey:
    """A dataset in figures.

    Attributes:
        url, digest: of the dataset.
        counts: of rows, samples and rejections.
        shards: number of shards.
        bytes: of all shards.
        seconds: of video.
        spread: range of each column of numbers.
        distributions: of each column of numbers: quantiles, and what limits keep.
        captions: figures of each column of captions.
        labels: figures of each column beside the dataset with few different texts.
        stale: columns beside the dataset that are of an earlier state of it.
        histograms: of the columns that ``animatic inspect`` displays.
        sizes: number of samples by WIDTHxHEIGHT, the most frequent first.
        rungs: number of samples with each further encoding, the most frequent first.
        examples: rejected rows by reason.
        duplicates: number of duplicates; None if ingest did not search for them.
        rates: throughput of ingest.
        settings: of ingest.
    """

    url: str
    digest: str
    counts: Counts
    shards: int
    bytes: int
    seconds: float
    spread: dict[str, Range]
    distributions: list[Distribution]
    captions: list[CaptionFigures]
    labels: list[LabelFigures]
    stale: list[str]
    histograms: list[Histogram]
    sizes: dict[str, int]
    rungs: dict[str, int]
    examples: dict[str, list[RejectedExample]]
    duplicates: int | None
    rates: list[Rate]
    settings: Settings


def survey(dataset: Dataset) -> Survey:
    """Read the tables of a dataset, not its shards. Raises AnimaticError."""
    samples, info = dataset.samples, dataset.info
    spread, histograms = {}, []
    beside = [name for name in number_columns(dataset) if name not in samples.schema.names]
    for name in (*_UNITS, *beside):
        values = _values(numbers(dataset, name))
        if len(values):
            spread[name] = _range(values)
            charted = name in _HISTOGRAMS or name in beside
            histograms += [histogram(name, unit_of(name), values)] if charted else []
    captions, labels = texts(dataset)
    return Survey(
        url=dataset.url,
        digest=dataset.digest,
        counts=info["counts"],
        shards=len(info["shards"]),
        bytes=sum(shard["bytes"] for shard in info["shards"]),
        seconds=float(pc.sum(samples["duration"]).as_py() or 0.0),
        spread=spread,
        distributions=distributions(dataset),
        captions=captions,
        labels=labels,
        stale=_stale(dataset),
        histograms=histograms,
        sizes=_sizes(samples),
        rungs=_rungs(samples),
        examples=_examples(dataset),
        duplicates=len(dataset.duplicates) if "duplicates.parquet" in info["files"] else None,
        rates=rates(read_timings(dataset.folder)),
        settings=info["config"],
    )


def unit_of(column: str) -> str:
    """The unit of a column, empty if it is not known."""
    return (_UNITS | _UNITS_BESIDE).get(column, "")


def histogram(name: str, unit: str, values: Values) -> Histogram:
    """A bar for each value if there are few, equal bins from the smallest to the largest otherwise."""
    distinct, counts = np.unique(values, return_counts=True)
    if len(distinct) > _MAX_DISTINCT:
        counts, edges = np.histogram(values, _BINS)
        return Histogram(name, unit, edges.tolist(), counts.tolist())
    return Histogram(name, unit, distinct.tolist(), counts.tolist())


def _values(column: pa.ChunkedArray) -> Values:
    return np.asarray(column.drop_null().to_numpy(), np.float64)


def _range(values: Values) -> Range:
    return Range(float(values.min()), float(values.mean()), float(values.max()))


def _stale(dataset: Dataset) -> list[str]:
    folder = dataset.folder
    return [n for n in stored_columns(folder) if column_source(folder, n).get("dataset") != dataset.digest]


def _sizes(samples: pa.Table) -> dict[str, int]:
    counted = samples.group_by(["width", "height"]).aggregate([([], "count_all")]).to_pylist()
    counted.sort(key=lambda row: (-row["count_all"], row["width"], row["height"]))
    sizes = {f"{row['width']}x{row['height']}": row["count_all"] for row in counted[:_SIZES]}
    rest = sum(row["count_all"] for row in counted[_SIZES:])
    return sizes | ({"others": rest} if rest else {})


def _rungs(samples: pa.Table) -> dict[str, int]:
    names = pc.struct_field(pc.list_flatten(samples["rungs"]), "rung")
    counted = [(each["values"], each["counts"]) for each in pc.value_counts(names).to_pylist()]
    return dict(sorted(counted, key=lambda item: (-item[1], item[0])))


def _examples(dataset: Dataset) -> dict[str, list[RejectedExample]]:
    """The first rejected rows of each reason, the most frequent reasons first."""
    counts = dataset.info["counts"]["reasons"]
    examples: dict[str, list[RejectedExample]] = {
        reason: [] for reason in sorted(counts, key=lambda name: (-counts[name], name))
    }
    for batch in dataset.rejects.select(["row", "source_id", "detail", "reason"]).to_batches():
        for reason, found in examples.items():
            if len(found) < _EXAMPLES:
                mine = batch.filter(pc.equal(batch["reason"], reason)).slice(0, _EXAMPLES - len(found))
                found += mine.drop_columns(["reason"]).to_pylist()
    return examples
