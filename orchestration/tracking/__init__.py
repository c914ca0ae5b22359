"""Mirrors of a run's journal in MLflow and W&B; a failing tracker never affects the run."""

from orchestration.tracking.backends import Backend, backends_for
from orchestration.tracking.evaluations import Evaluated, record_evaluation, run_of_bundle
from orchestration.tracking.feed import SyncReport, has_received, sync
from orchestration.tracking.mirror import Mirror, mirrored
from orchestration.tracking.mlflow_store import find_run, is_local, local_run, mlflow_client
from orchestration.tracking.outcome import Outcome
from orchestration.tracking.recorded import RecordedTracking, recorded_tracking
from orchestration.tracking.run import TrackedRun

__all__ = [
    "Backend",
    "Evaluated",
    "Mirror",
    "Outcome",
    "RecordedTracking",
    "SyncReport",
    "TrackedRun",
    "backends_for",
    "find_run",
    "has_received",
    "is_local",
    "local_run",
    "mirrored",
    "mlflow_client",
    "record_evaluation",
    "recorded_tracking",
    "run_of_bundle",
    "sync",
]
