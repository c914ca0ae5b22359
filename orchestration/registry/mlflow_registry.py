"""The champion in MLflow's model registry, a mirror that nothing reads back: the ledger decides."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from core.urls import without_credentials
from orchestration.registry.entry import Entry
from orchestration.tracking import (
    RecordedTracking,
    TrackedRun,
    find_run,
    is_local,
    mlflow_client,
    recorded_tracking,
)
from training.run_folder import RunFolder

if TYPE_CHECKING:
    from mlflow import MlflowClient

logger = logging.getLogger(__name__)


def mirror_champion(workspace_uri: str, entry: Entry, folder: Path) -> str | None:
    """Point the alias ``champion`` of model ``animatic-PRESET`` at the bundle; a warning if that failed.

    Args:
        workspace_uri: MLflow's store for a bundle whose run, if it has one, records none of its own.
        folder: of the bundle.
    """
    try:
        run = folder.parent if RunFolder(folder.parent).journal.is_file() else None
        tracking = recorded_tracking(run or folder, workspace_uri)
        _set_alias(tracking, entry, folder, run)
    except Exception as error:
        # A tracker may fail in any way, and the promotion is in the ledger already: nothing to undo.
        logger.info("MLflow registry: %s", error, exc_info=True)
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        return (
            "recorded in the ledger, but MLflow's registry could not be updated: "
            f"{without_credentials(first)}"
        )
    return None


def _set_alias(tracking: RecordedTracking, entry: Entry, folder: Path, run: Path | None) -> None:
    client = mlflow_client(tracking.mlflow_uri)
    from mlflow.exceptions import MlflowException

    name = f"animatic-{entry.preset}"
    try:
        client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        client.create_registered_model(name)
    known = [
        version
        for version in client.search_model_versions(f"name='{name}'")
        if version.tags.get("bundle.id") == entry.bundle_id
    ]
    if known:
        version = known[0]
    else:
        source, run_id = _source(client, tracking, folder, run)
        tags = {"bundle.id": entry.bundle_id, "stage": str(entry.stage)}
        version = client.create_model_version(name, source=source, run_id=run_id, tags=tags)
    client.set_registered_model_alias(name, "champion", version.version)


def _source(
    client: MlflowClient, tracking: RecordedTracking, folder: Path, run: Path | None
) -> tuple[str, str | None]:
    """The bundle's URI in the registry, and the run that contains it if it is a path below that.

    Servers refuse the paths of local folders. Bundles without a run, as imported ones, get one there.
    """
    if is_local(tracking.mlflow_uri):
        return folder.resolve().as_uri(), None
    found = find_run(client, TrackedRun.of(run, tracking.project)) if run is not None else None
    if found is None:
        experiment = client.get_experiment_by_name(tracking.project)
        identifier = experiment.experiment_id if experiment else client.create_experiment(tracking.project)
        tags = {"animatic.kind": "bundle", "animatic.folder": str(folder.resolve())}
        found = client.create_run(identifier, run_name=folder.name, tags=tags).info.run_id
        client.set_terminated(found)
    return f"runs:/{found}/bundle", found
