"""Figures of a job for Prometheus, served from its driver while it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from types import TracebackType
from typing import Generic, Self, TypeVar

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from core.errors import AnimaticError

State = TypeVar("State")
# A labelled metric has a value for each combination of its labels' values.
Value = float | None | Mapping[tuple[str, ...], float]


class Kind(Enum):
    """How a metric changes; a counter is only added to while its process lives."""

    COUNTER = "counter"
    GAUGE = "gauge"


@dataclass(frozen=True)
class Definition(Generic[State]):
    """A metric: its name as exported, and its value in a state of the job; None: it is absent."""

    name: str
    kind: Kind
    help: str
    value: Callable[[State], Value]
    labels: tuple[str, ...] = ()

    def family(self, state: State) -> Metric | None:
        """The metric as the client library writes it; None if it has no value."""
        value = self.value(state)
        if value is None:
            return None
        family = (
            CounterMetricFamily(self.name, self.help, labels=self.labels)
            if self.kind is Kind.COUNTER
            else GaugeMetricFamily(self.name, self.help, labels=self.labels)
        )
        values = value if isinstance(value, Mapping) else {(): value}
        for labels, number in sorted(values.items()):
            family.add_metric(labels, number)
        return family


class MetricsServer(Generic[State]):
    """``http://HOST:port/metrics`` on all interfaces; port 0 takes a free one. Raises AnimaticError."""

    def __init__(self, port: int, definitions: Sequence[Definition[State]]) -> None:
        self._figures = _Figures(definitions)
        registry = CollectorRegistry()
        registry.register(self._figures)
        try:
            self._server, self._thread = start_http_server(port, registry=registry)
        except (OSError, OverflowError) as error:
            raise AnimaticError(
                f"metrics cannot be served on port {port} ({error}); choose another"
            ) from error
        self.port = int(self._server.server_port)

    @property
    def address(self) -> str:
        """Where it listens, for the user."""
        return f"metrics on port {self.port}, path /metrics"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __call__(self, state: State) -> None:
        """Take a new state; nothing is exported before the first."""
        self._figures.state = state


class _Figures(Collector, Generic[State]):
    """The scraped figures: those of the newest state."""

    def __init__(self, definitions: Sequence[Definition[State]]) -> None:
        self._definitions = definitions
        self.state: State | None = None

    def collect(self) -> Iterator[Metric]:
        state = self.state
        if state is None:
            return
        for definition in self._definitions:
            family = definition.family(state)
            if family is not None:
                yield family
