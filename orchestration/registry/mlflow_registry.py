"""The champion in MLflow's model registry, a mirror that nothing reads back: the ledger decides."""

from __future__ import annotations

import logging
from pathlib import Path

from orchestration.registry.entry import Entry
from orchestration.tracking import mlflow_client

logger = logging.getLogger(__name__)


def mirror_champion(uri: str, entry: Entry, folder: Path) -> str | None:
    """Point the alias ``champion`` of model ``animatic-PRESET`` at the bundle; a warning if that failed."""
    try:
        _set_alias(uri, entry, folder)
    except Exception as error:
        # A tracker may fail in any way, and the promotion is in the ledger already: nothing to undo.
        logger.info("MLflow registry: %s", error, exc_info=True)
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        return f"recorded in the ledger, but MLflow's registry could not be updated: {first}"
    return None


def _set_alias(uri: str, entry: Entry, folder: Path) -> None:
    client = mlflow_client(uri)
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
    version = (
        known[0]
        if known
        else client.create_model_version(
            name,
            source=folder.resolve().as_uri(),
            tags={"bundle.id": entry.bundle_id, "stage": str(entry.stage)},
        )
    )
    client.set_registered_model_alias(name, "champion", version.version)
