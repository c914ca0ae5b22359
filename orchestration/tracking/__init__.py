"""Mirrors of a run's journal in MLflow and W&B; a failing tracker never affects the run."""

from orchestration.tracking.backends import Backend, Outcome, backends_for, mlflow_client
from orchestration.tracking.feed import SyncReport, sync
from orchestration.tracking.mirror import Mirror, mirrored
from orchestration.tracking.run import TrackedRun

__all__ = [
    "Backend",
    "Mirror",
    "Outcome",
    "SyncReport",
    "TrackedRun",
    "backends_for",
    "mirrored",
    "mlflow_client",
    "sync",
]
