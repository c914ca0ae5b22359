"""Progress of running jobs: on the terminal, for Prometheus, and as a run of the tracker."""

from orchestration.monitoring.observers import IngestJob, IngestObserver, MonitoringOptions, observe_ingest
from orchestration.monitoring.training_progress import JournalFollower, TrainingProgress

__all__ = [
    "IngestJob",
    "IngestObserver",
    "JournalFollower",
    "MonitoringOptions",
    "TrainingProgress",
    "observe_ingest",
]
