"""An ingest as it goes: on the terminal, for Prometheus, and in the tracker."""

from orchestration.monitoring.observers import Job, Watch, observe_job

__all__ = ["Job", "Watch", "observe_job"]
