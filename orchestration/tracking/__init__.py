"""Mirrors of a run's journal in MLflow and W&B; a failing tracker never affects the run."""

from orchestration.tracking.backends import Backend, Outcome, backends_for
from orchestration.tracking.feed import SyncReport, sync
from orchestration.tracking.mirror import Mirror, mirrored
from orchestration.tracking.mlflow_store import find_run, is_local, mlflow_client
from orchestration.tracking.recorded import RecordedTracking, recorded_tracking
from orchestration.tracking.run import TrackedRun

__all__ = [
    "Backend",
    "Mirror",
    "Outcome",
    "RecordedTracking",
    "SyncReport",
    "TrackedRun",
    "backends_for",
    "find_run",
    "is_local",
    "mirrored",
    "mlflow_client",
    "recorded_tracking",
    "sync",
]
