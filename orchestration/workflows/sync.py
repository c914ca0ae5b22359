"""Deliver to the trackers what they missed of a run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from core.errors import AnimaticError
from orchestration.tracking import SyncReport, backends_for, recorded_tracking, sync
from orchestration.workspace import Workspace
from training.run_folder import RunFolder

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
    if not RunFolder(run).journal.is_file():
        raise AnimaticError(f"{run} is not a run folder: it has no journal.jsonl")
    tracking = recorded_tracking(run, workspace.mlflow_uri)
    mode = options.wandb or tracking.wandb
    if mode not in WANDB_MODES:
        raise AnimaticError(f"--wandb is offline, online or disabled, not {mode}")
    uri = options.mlflow_uri or tracking.mlflow_uri
    return sync(run, tracking.project, backends_for(uri, mode, tracking.project))
