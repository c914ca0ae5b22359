"""Progress of running jobs: on the terminal, for Prometheus, and as a run of the tracker."""

from orchestration.monitoring.observers import (
    IngestJob,
    IngestObserver,
    MetricsOptions,
    MonitoringOptions,
    observe_ingest,
    served_training,
)
from orchestration.monitoring.training_progress import JournalFollower, TrainingProgress

__all__ = [
    "IngestJob",
    "IngestObserver",
    "JournalFollower",
    "MetricsOptions",
    "MonitoringOptions",
    "TrainingProgress",
    "observe_ingest",
    "served_training",
]
