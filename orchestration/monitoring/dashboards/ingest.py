"""The dashboard of ingests."""

from orchestration.monitoring.dashboards.cluster import NODES, RAY_ROW
from orchestration.monitoring.dashboards.grafana import Dashboard, Kind, Panel, Query, Row, Variable

_JOB = '{instance=~"$instance"}'


def _number(title: str, description: str, unit: str, expression: str) -> Panel:
    queries = (Query(expression, "{{instance}}"),)
    return Panel(title, description, unit, queries, Kind.NUMBER, width=6, height=4, low=None)


_STATE = Row(
    "Ingests",
    (
        _number(
            "Progress",
            "Rows done, of those of the source.",
            "percentunit",
            f"animatic_ingest_rows_total{_JOB} / animatic_ingest_source_rows{_JOB}",
        ),
        _number("Time left", "Estimated.", "s", f"animatic_ingest_seconds_left{_JOB}"),
        _number("Clips", "In the dataset.", "none", f"animatic_ingest_samples_total{_JOB}"),
        _number("Size", "Of all shards.", "decbytes", f"animatic_ingest_bytes_total{_JOB}"),
    ),
)

_WORK = Row(
    "Throughput",
    (
        Panel(
            "Rows and clips per second",
            "Over the last units.",
            "none",
            (
                Query(f"animatic_ingest_rows_per_second{_JOB}", "{{instance}} rows"),
                Query(f"animatic_ingest_samples_per_second{_JOB}", "{{instance}} clips"),
            ),
        ),
        Panel(
            "Shards",
            "Bytes written per second, over the last units.",
            "Bps",
            (Query(f"animatic_ingest_bytes_per_second{_JOB}", "{{instance}}"),),
        ),
        Panel(
            "Rejected rows",
            "Rows without a clip, by reason.",
            "none",
            (
                Query(
                    f"sum by (instance, reason) (animatic_ingest_rejected_rows_total{_JOB})",
                    "{{instance}} {{reason}}",
                ),
            ),
        ),
        Panel(
            "Rejected share",
            "Of all rows that are done.",
            "percentunit",
            (
                Query(
                    f"sum by (instance) (animatic_ingest_rejected_rows_total{_JOB})"
                    f" / sum by (instance) (animatic_ingest_rows_total{_JOB})",
                    "{{instance}}",
                ),
            ),
            high=1,
        ),
        Panel(
            "Rows",
            "Done, and of the source.",
            "none",
            (
                Query(f"animatic_ingest_rows_total{_JOB}", "{{instance}} done"),
                Query(f"animatic_ingest_source_rows{_JOB}", "{{instance}} of the source"),
            ),
        ),
    ),
)

INGEST_DASHBOARD = Dashboard(
    name="ingest",
    title="animatic: ingest",
    description="Jobs of animatic ingest --metrics-port, and the nodes that they run on.",
    variables=(Variable("instance", "Job", "label_values(animatic_ingest_source_rows, instance)"), NODES),
    rows=(_STATE, _WORK, RAY_ROW),
)
