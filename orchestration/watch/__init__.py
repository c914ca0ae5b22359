"""An ingest as it goes: on the terminal, for Prometheus, and in the tracker."""

from orchestration.watch.watched import Job, Watch, watched

__all__ = ["Job", "Watch", "watched"]
