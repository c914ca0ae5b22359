"""``/metrics``: what is exported, and its value in a state of the service.

Counters and histograms are those of :mod:`orchestration.serving.counters`; the gauges are defined here.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import get_args

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from core.code_version import code_version
from orchestration.monitoring.prometheus import Definition, Kind, Value
from orchestration.serving.api.overview import Overview, overview
from orchestration.serving.api.service import Service
from orchestration.serving.counters import COUNTERS, HISTOGRAMS, PREFIX, Counter, Histogram, Sample
from orchestration.serving.jobs import ModelStatus
from orchestration.serving.schema import VideoStatus

_Labelled = dict[tuple[str, ...], float]


@dataclass(frozen=True)
class Figures:
    """What is exported from.

    Attributes:
        jobs: number of videos by state.
        oldest_wait_s: of the video that waits longest; 0 if none waits.
        stored_bytes: of results, of which the operator allows ``stored_limit_bytes``.
        counted: all counters of the store.
    """

    overview: Overview
    jobs: Mapping[str, int]
    oldest_wait_s: float
    queue_limit: int
    stored_bytes: int
    stored_limit_bytes: int
    counted: Mapping[Sample, float]


def _gauge(
    name: str, help_text: str, value: Callable[[Figures], Value], labels: tuple[str, ...] = ()
) -> Definition[Figures]:
    return Definition(f"{PREFIX}_{name}", Kind.GAUGE, help_text, value, labels)


def _replicas(figures: Figures) -> _Labelled:
    live = len(figures.overview.live)
    return {("live",): live, ("lost",): len(figures.overview.replicas) - live}


def _memory(figures: Figures) -> _Labelled:
    return {
        (replica.replica, replica.device): replica.memory_bytes
        for replica in figures.overview.live
        if replica.memory_bytes is not None
    }


def _served(figures: Figures) -> _Labelled:
    versions = Tally(
        (status.name, version.bundle_id, version.manifest, version.preset, str(version.stage))
        for status in figures.overview.statuses(live=True)
        if (version := status.serving) is not None
    )
    return {labels: float(count) for labels, count in versions.items()}


def _models(chosen: Callable[[ModelStatus], bool]) -> Callable[[Figures], Value]:
    """By name, the number of live replicas whose model is so."""

    def value(figures: Figures) -> _Labelled:
        found: _Labelled = {(name,): 0 for name in figures.overview.names}
        for status in figures.overview.statuses(live=True):
            found[status.name,] = found.get((status.name,), 0) + chosen(status)
        return found

    return value


def _held(figures: Figures) -> _Labelled:
    held = {hold.model for hold in figures.overview.holds}
    return {(name,): float(name in held) for name in {*figures.overview.names, *held}}


GAUGES: tuple[Definition[Figures], ...] = (
    _gauge(
        "build_info",
        "The version, as a label; the value is 1.",
        lambda _: {(code_version(),): 1},
        ("version",),
    ),
    _gauge(
        "ready",
        "1 if a live replica serves the required model, as /readyz; else 0.",
        lambda figures: float(not figures.overview.missing()),
    ),
    _gauge(
        "videos",
        "Videos that are stored, by state: queued, in_progress, completed, failed, cancelled, expired.",
        lambda figures: {(state,): figures.jobs.get(state, 0) for state in get_args(VideoStatus)},
        ("state",),
    ),
    _gauge(
        "queue_oldest_seconds",
        "Time that the video waits that waits longest; 0 if none waits.",
        lambda figures: figures.oldest_wait_s,
    ),
    _gauge("queue_limit", "Videos that may wait.", lambda figures: figures.queue_limit),
    _gauge("replicas", "Replicas by state: live or lost.", _replicas, ("state",)),
    _gauge(
        "model_info",
        "Live replicas that serve this version of a model: its bundle, manifest, preset and stage as labels.",
        _served,
        ("model", "bundle", "manifest", "preset", "stage"),
    ),
    _gauge(
        "model_replicas",
        "Live replicas that serve a model.",
        _models(lambda status: status.serving is not None),
        ("model",),
    ),
    _gauge(
        "model_outdated_replicas",
        "Live replicas that do not serve the version that they should.",
        _models(lambda s: s.desired is not None and (s.serving is None or s.serving.manifest != s.desired)),
        ("model",),
    ),
    _gauge(
        "model_failed_replicas",
        "Live replicas whose newest exchange of a model failed.",
        _models(lambda status: status.last_error is not None),
        ("model",),
    ),
    _gauge("model_held", "1 while a rollback of a model is in force.", _held, ("model",)),
    _gauge(
        "device_memory_bytes",
        "Memory that a live replica has allocated on its device.",
        _memory,
        ("replica", "device"),
    ),
    _gauge("stored_bytes", "Bytes of stored clips and pictures.", lambda figures: figures.stored_bytes),
    _gauge("stored_limit_bytes", "Bytes that may be stored.", lambda figures: figures.stored_limit_bytes),
)

# Every name that is exported, for dashboards and alerts.
NAMES = frozenset(
    {
        *(gauge.name for gauge in GAUGES),
        *(counter.exported for counter in COUNTERS),
        *(f"{histogram.exported}_{part}" for histogram in HISTOGRAMS for part in ("bucket", "sum", "count")),
    }
)


def exported(service: Service) -> bytes:
    """All metrics in the text format. Raises JobStoreError."""
    store, settings = service.store, service.settings
    figures = Figures(
        overview(service),
        jobs=store.count_states(),
        oldest_wait_s=store.oldest_wait_s(),
        queue_limit=settings.limits.queue,
        stored_bytes=store.stored_bytes(),
        stored_limit_bytes=settings.state.max_bytes,
        counted=store.counters(),
    )
    registry = CollectorRegistry()
    registry.register(_Collected(figures))
    return generate_latest(registry)


class _Collected(Collector):
    """One scrape."""

    def __init__(self, figures: Figures) -> None:
        self._figures = figures

    def collect(self) -> Iterator[Metric]:
        for gauge in GAUGES:
            family = gauge.family(self._figures)
            if family is not None:
                yield family
        for counter in COUNTERS:
            yield _counter(counter, self._figures.counted)
        for histogram in HISTOGRAMS:
            yield _histogram(histogram, self._figures.counted)


def _counter(counter: Counter, counted: Mapping[Sample, float]) -> Metric:
    family = CounterMetricFamily(counter.exported, counter.help, labels=counter.labels)
    found = {sample.labels: value for sample, value in counted.items() if sample.name == counter.exported}
    if not counter.labels:
        found.setdefault((), 0.0)
    for labels, value in sorted(found.items()):
        family.add_metric(labels, value)
    return family


def _histogram(histogram: Histogram, counted: Mapping[Sample, float]) -> Metric:
    family = HistogramMetricFamily(histogram.exported, histogram.help, labels=histogram.labels)
    total = f"{histogram.exported}_sum"
    sums = {sample.labels: value for sample, value in counted.items() if sample.name == total}
    for labels, value in sorted(sums.items()):
        family.add_metric(labels, histogram.cumulative(counted, labels), value)
    return family
