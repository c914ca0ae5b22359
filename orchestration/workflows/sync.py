"""Deliver to the trackers what they missed of a run, or what has happened to its bundle since."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from core.errors import AnimaticError
from models.bundle import INFO, open_bundle
from orchestration.registry import standing_tags
from orchestration.tracking import (
    SyncReport,
    backends_for,
    has_received,
    recorded_tracking,
    run_of_bundle,
    sync,
)
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

    Tags and description follow: reports of the bundle, and what the ledger records of it.

    Raises:
        AnimaticError: the folder is no run, its configuration is unreadable, the W&B mode does not exist, or
            the ledger is damaged.
    """
    run = options.run
    if not RunFolder(run).journal.is_file():
        raise AnimaticError(f"{run} is not a run folder: it has no journal.jsonl")
    tracking = recorded_tracking(run, workspace.mlflow_uri)
    mode = options.wandb or tracking.wandb
    if mode not in WANDB_MODES:
        raise AnimaticError(f"--wandb is offline, online or disabled, not {mode}")
    uri = options.mlflow_uri or tracking.mlflow_uri
    backends = backends_for(uri, mode, tracking.project)
    return sync(run, tracking.project, backends, _standing(run, workspace))


def display_bundle(bundle: Path, workspace: Workspace) -> list[str]:
    """Bring the page of a bundle's run up to date at the trackers which have it; a line for each that failed.

    Nothing is done for a bundle outside of a run folder, nor for a tracker that has not received the run.

    Raises:
        AnimaticError: the run's configuration is unreadable, or the ledger is damaged.
    """
    run = run_of_bundle(bundle)
    if run is None:
        return []
    tracking = recorded_tracking(run, workspace.mlflow_uri)
    known = [
        backend
        for backend in backends_for(tracking.mlflow_uri, tracking.wandb, tracking.project)
        if has_received(run, backend)
    ]
    if not known:
        return []
    reports = sync(run, tracking.project, known, _standing(run, workspace))
    return [
        f"{report.backend} could not be updated ({report.error}); `animatic sync {run}` does it later"
        for report in reports
        if report.error is not None
    ]


def _standing(run: Path, workspace: Workspace) -> Mapping[str, str] | None:
    """What the ledger records of the run's bundle; None before it has one."""
    folder = RunFolder(run).bundle
    if not (folder / INFO).is_file():
        return None
    return standing_tags(workspace.ledger, open_bundle(folder, verify=False).id)
