"""A dataset in figures: counts, spreads, histograms, examples of rejections, how fast it was made."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.dataset import Dataset
from pipelines.dataset.records import Counts, Settings
from pipelines.dataset.similarity import read_similarity, similarity_source
from pipelines.ingest.timings import UnitTiming, read_timings

Values = npt.NDArray[np.float64]

# Columns of samples.parquet, and what their numbers are.
UNITS = {
    "duration": "seconds",
    "fps": "frames a second",
    "frames": "frames",
    "width": "pixels",
    "height": "pixels",
    "motion": "luma levels in an eighth of a second",
    "brightness": "luma, 16 to 235",
    "text": "share of the picture",
}
DRAWN = ("duration", "fps", "motion", "brightness", "text")
DISTINCT = 8  # values, up to which each has a bar of its own
BINS = 24
SIZES = 10
EXAMPLES = 3


@dataclass(frozen=True)
class Spread:
    """Least, mean and greatest value."""

    min: float
    mean: float
    max: float


@dataclass(frozen=True)
class Histogram:
    """Counts of samples. Bar i is of the value ``edges[i]`` if there are as many edges as counts, and of the
    values from ``edges[i]`` to ``edges[i + 1]`` if there is one more."""

    name: str
    unit: str
    edges: list[float]
    counts: list[int]


@dataclass(frozen=True)
class Rate:
    """How fast the dataset was made in a stretch of time; ``begin`` and ``end`` are hours of work since the
    first unit was begun (the time between two calls is left out), rates are per second."""

    begin: float
    end: float
    rows: float
    samples: float
    bytes: float


@dataclass(frozen=True)
class Survey:
    """A dataset in figures. ``seconds`` of video; ``sizes`` in samples by width x height, frequent ones
    first; ``examples`` of rejected rows by reason; ``duplicates`` is None where nobody looked for them."""

    url: str
    digest: str
    counts: Counts
    shards: int
    bytes: int
    seconds: float
    spread: dict[str, Spread]
    histograms: list[Histogram]
    sizes: dict[str, int]
    examples: dict[str, list[dict[str, str]]]
    duplicates: int | None
    rates: list[Rate]
    settings: Settings


def survey(dataset: Dataset) -> Survey:
    """Read the tables of a dataset, not its shards. Raises AnimaticError."""
    samples, info = dataset.samples, dataset.info
    spread, histograms = {}, []
    for name, unit in UNITS.items():
        values = _values(samples[name])
        if len(values):
            spread[name] = _spread(values)
            histograms += [histogram(name, unit, values)] if name in DRAWN else []
    return Survey(
        url=dataset.url,
        digest=dataset.digest,
        counts=info["counts"],
        shards=len(info["shards"]),
        bytes=sum(shard["bytes"] for shard in info["shards"]),
        seconds=float(pc.sum(samples["duration"]).as_py() or 0.0),
        spread=spread,
        histograms=histograms + _similarity(dataset),
        sizes=_sizes(samples),
        examples=_examples(dataset),
        duplicates=len(dataset.duplicates) if "duplicates.parquet" in info["files"] else None,
        rates=rates(read_timings(dataset.folder)),
        settings=info["config"],
    )


def histogram(name: str, unit: str, values: Values) -> Histogram:
    """A bar for each value where there are few, equal bins from the least to the greatest otherwise."""
    distinct, counts = np.unique(values, return_counts=True)
    if len(distinct) > DISTINCT:
        counts, edges = np.histogram(values, BINS)
        return Histogram(name, unit, edges.tolist(), counts.tolist())
    return Histogram(name, unit, distinct.tolist(), counts.tolist())


def rates(timings: list[UnitTiming], stretches: int = 60) -> list[Rate]:
    """The work of every unit spread evenly over the time it took, summed in equal stretches."""
    if not timings:
        return []
    begun, ended = _worked(timings)
    edges = np.linspace(0, max(float(ended.max()), 1e-3), stretches + 1)
    shares = _overlap(begun, ended, edges) / np.maximum(ended - begun, 1e-9)[:, None]
    made = np.array([[t.rows, t.samples, t.bytes] for t in timings], np.float64)
    per_second = shares.T @ made / (edges[1] - edges[0])
    hours = edges / 3600
    return [Rate(float(hours[i]), float(hours[i + 1]), *map(float, per_second[i])) for i in range(stretches)]


def _worked(timings: list[UnitTiming]) -> tuple[Values, Values]:
    """When each unit was begun and done, in seconds of work: calls follow each other without a gap."""
    ended = np.array([t.ended for t in timings])
    seconds = np.array([max(t.seconds, 1e-3) for t in timings])
    runs = np.array([t.run for t in timings])
    offset = 0.0
    for run in np.unique(runs):
        mine = runs == run
        start = (ended[mine] - seconds[mine]).min()
        ended[mine] += offset - start
        offset = float(ended[mine].max())
    return ended - seconds, ended


def _overlap(begun: Values, ended: Values, edges: Values) -> Values:
    """Seconds that each unit shares with each stretch, [units, stretches]."""
    shared = np.minimum(ended[:, None], edges[None, 1:]) - np.maximum(begun[:, None], edges[None, :-1])
    return np.maximum(shared, 0.0)


def _values(column: pa.ChunkedArray) -> Values:
    return np.asarray(column.drop_null().to_numpy(), np.float64)


def _spread(values: Values) -> Spread:
    return Spread(float(values.min()), float(values.mean()), float(values.max()))


def _similarity(dataset: Dataset) -> list[Histogram]:
    """Of the scores of image and caption, if there are any of this state of the dataset."""
    if similarity_source(dataset.folder).get("dataset") != dataset.digest:
        return []
    scores = read_similarity(dataset)[0].astype(np.float64)
    scores = scores[np.isfinite(scores)]
    return [histogram("clip_similarity", "of image and caption, -1 to 1", scores)] if len(scores) else []


def _sizes(samples: pa.Table) -> dict[str, int]:
    counted = samples.group_by(["width", "height"]).aggregate([([], "count_all")]).to_pylist()
    counted.sort(key=lambda row: (-row["count_all"], row["width"], row["height"]))
    sizes = {f"{row['width']}x{row['height']}": row["count_all"] for row in counted[:SIZES]}
    rest = sum(row["count_all"] for row in counted[SIZES:])
    return sizes | ({"others": rest} if rest else {})


def _examples(dataset: Dataset) -> dict[str, list[dict[str, str]]]:
    """The first rejected rows of each reason, frequent ones first: row, source_id, detail."""
    counts = dataset.info["counts"]["reasons"]
    examples: dict[str, list[dict[str, str]]] = {
        reason: [] for reason in sorted(counts, key=lambda name: (-counts[name], name))
    }
    for batch in dataset.rejects.select(["row", "source_id", "detail", "reason"]).to_batches():
        for reason, found in examples.items():
            if len(found) < EXAMPLES:
                mine = batch.filter(pc.equal(batch["reason"], reason)).slice(0, EXAMPLES - len(found))
                found += mine.drop_columns(["reason"]).to_pylist()
    return examples
