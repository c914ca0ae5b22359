"""The metrics of an ingest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestration.monitoring.prometheus import Definition, Kind

if TYPE_CHECKING:
    from pipelines.ingest import IngestProgress

INGEST: tuple[Definition[IngestProgress], ...] = (
    Definition("animatic_ingest_rows_total", Kind.COUNTER, "Source rows done.", lambda state: state.rows),
    Definition(
        "animatic_ingest_samples_total", Kind.COUNTER, "Clips in the dataset.", lambda state: state.samples
    ),
    Definition("animatic_ingest_bytes_total", Kind.COUNTER, "Bytes of shards.", lambda state: state.bytes),
    Definition(
        "animatic_ingest_rejected_rows_total",
        Kind.COUNTER,
        "Source rows without a clip, by reason.",
        lambda state: {(reason,): count for reason, count in state.reasons.items()},
        ("reason",),
    ),
    Definition(
        "animatic_ingest_source_rows", Kind.GAUGE, "Rows of the source.", lambda state: state.total_rows
    ),
    Definition(
        "animatic_ingest_rows_per_second",
        Kind.GAUGE,
        "Source rows done per second, recently.",
        lambda state: state.rows_per_s,
    ),
    Definition(
        "animatic_ingest_samples_per_second",
        Kind.GAUGE,
        "Clips made per second, recently.",
        lambda state: state.samples_per_s,
    ),
    Definition(
        "animatic_ingest_bytes_per_second",
        Kind.GAUGE,
        "Bytes of shards written per second, recently.",
        lambda state: state.bytes_per_s,
    ),
    Definition(
        "animatic_ingest_seconds_left",
        Kind.GAUGE,
        "Estimated seconds until the end.",
        lambda state: state.seconds_left,
    ),
)
