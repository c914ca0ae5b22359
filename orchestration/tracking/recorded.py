"""Which trackers a run was mirrored to, as its folder records it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from core.config.layers import read_yaml
from core.config.validation import validate
from core.errors import AnimaticError
from orchestration.tracking.mlflow_store import is_local, local_database
from training.config import TrackingConfig


@dataclass(frozen=True)
class RecordedTracking:
    """The trackers of a run; ``mlflow_uri`` may contain a password if an earlier version recorded it."""

    mlflow_uri: str
    wandb: str
    project: str


def recorded_tracking(run: Path, workspace_uri: str) -> RecordedTracking:
    """What ``config.yaml`` of a run folder records, for a run of training or of ingest.

    Args:
        workspace_uri: the store of runs that name none. It also replaces a local file that is gone: earlier
            versions recorded the path of the workspace's own store, which may have been moved since.

    Raises:
        AnimaticError: the file cannot be read, or its tracking section does not fit.
    """
    path = run / "config.yaml"
    section = read_yaml(path).get("tracking") if path.is_file() else None
    if section is not None and not isinstance(section, dict):
        raise AnimaticError(f"{path}: tracking must be a section of keys")
    values = dict(section or {})
    uri = values.pop("mlflow_uri", None)
    tracking = validate(TrackingConfig, values)
    if not isinstance(uri, str) or _is_gone(uri):
        uri = workspace_uri
    return RecordedTracking(uri, tracking.wandb, tracking.project)


def _is_gone(uri: str) -> bool:
    return is_local(uri) and not local_database(uri).is_file()
