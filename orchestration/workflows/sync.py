"""Deliver to the trackers what they missed of a run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from core.config.layers import read_yaml
from core.config.validation import validate
from core.errors import AnimaticError
from orchestration.tracking import SyncReport, backends_for, sync
from orchestration.workspace import Workspace
from training.config import TrackingConfig, load

WANDB_MODES = ("offline", "online", "disabled")


@dataclass(frozen=True)
class SyncOptions:
    """``mlflow_uri`` and ``wandb`` (offline, online or disabled): the run's own if None."""

    run: Path
    mlflow_uri: str | None = None
    wandb: str | None = None


def sync_run(options: SyncOptions, workspace: Workspace) -> list[SyncReport]:
    """Replay the run's journal to each tracker, from where that tracker got to.

    Raises:
        AnimaticError: the folder is no run, its configuration is unreadable, or the W&B mode does not exist.
    """
    run = options.run
    if not (run / "journal.jsonl").is_file():
        raise AnimaticError(f"{run} is not a run folder: it has no journal.jsonl")
    tracking = _tracking(run / "config.yaml")
    mode = options.wandb or tracking.wandb
    if mode not in WANDB_MODES:
        raise AnimaticError(f"--wandb is offline, online or disabled, not {mode}")
    uri = options.mlflow_uri or tracking.mlflow_uri or workspace.mlflow_uri
    return sync(run, tracking.project, backends_for(uri, mode, tracking.project))


def _tracking(path: Path) -> TrackingConfig:
    """Where a run, of training or of ingest, is mirrored."""
    content = read_yaml(path) if path.is_file() else {}
    if "ingest" in content:
        return validate(TrackingConfig, content.get("tracking", {}))
    return load(path).tracking
