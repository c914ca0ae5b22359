"""The figures of an ingest for Prometheus, served from the driver while it runs."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Self

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from core.errors import AnimaticError

if TYPE_CHECKING:
    from pipelines.ingest import IngestProgress

COUNTERS = {
    "rows": ("Source rows done.", lambda state: state.rows),
    "samples": ("Clips in the dataset.", lambda state: state.samples),
    "bytes": ("Bytes of shards.", lambda state: state.bytes),
}
GAUGES = {
    "source_rows": ("Rows of the source.", lambda state: state.total_rows),
    "rows_per_second": ("Source rows done per second, recently.", lambda state: state.rows_per_s),
    "samples_per_second": ("Clips made per second, recently.", lambda state: state.samples_per_s),
    "bytes_per_second": ("Bytes of shards written per second, recently.", lambda state: state.bytes_per_s),
    "seconds_left": ("Estimated seconds until the end.", lambda state: state.seconds_left),
}
PREFIX = "animatic_ingest"


class MetricsServer:
    """``http://HOST:port/metrics`` on all interfaces; port 0 takes a free one. Raises AnimaticError."""

    def __init__(self, port: int) -> None:
        self._figures = _Figures()
        registry = CollectorRegistry()
        registry.register(self._figures)
        try:
            self._server, self._thread = start_http_server(port, registry=registry)
        except (OSError, OverflowError) as error:
            raise AnimaticError(
                f"metrics cannot be served on port {port} ({error}); choose another"
            ) from error
        self.port = int(self._server.server_port)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __call__(self, state: IngestProgress) -> None:
        """Take a new state."""
        self._figures.state = state


class _Figures(Collector):
    """The scraped figures: those of the newest state."""

    def __init__(self) -> None:
        self.state: IngestProgress | None = None

    def collect(self) -> Iterator[Metric]:
        state = self.state
        if state is None:
            return
        for name, (help_text, value) in COUNTERS.items():
            yield CounterMetricFamily(f"{PREFIX}_{name}", help_text, value=value(state))
        rejected = CounterMetricFamily(
            f"{PREFIX}_rejected_rows", "Source rows without a clip, by reason.", labels=["reason"]
        )
        for reason, count in sorted(state.reasons.items()):
            rejected.add_metric([reason], count)
        yield rejected
        for name, (help_text, value) in GAUGES.items():
            if value(state) is not None:
                yield GaugeMetricFamily(f"{PREFIX}_{name}", help_text, value=value(state))
