"""MLflow's store of runs: a client of it, and the folder of artifacts beside a local one."""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from orchestration.tracking.run import TrackedRun
from orchestration.tracking.state import MirrorState

if TYPE_CHECKING:
    from mlflow import MlflowClient

logger = logging.getLogger(__name__)
# Two threads that import large packages with shared dependencies for the first time can see partly
# initialised modules.
IMPORTS = threading.Lock()
SQLITE = "sqlite:///"
_ARTIFACTS = "mlartifacts"
_BUSY_S = 30.0


def mlflow_client(uri: str) -> MlflowClient:
    """A client of an MLflow store and its registry that gives up on a dead server in seconds."""
    # The default of 7 retries with backoff blocks for four minutes.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    # Otherwise the end of a run prints its address between the results on stdout.
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    with IMPORTS:
        from mlflow import MlflowClient
    for noisy in ("mlflow", "alembic"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def is_local(uri: str) -> bool:
    """Whether the store is a file of this machine, not a server or a database."""
    return uri.startswith(SQLITE)


def artifact_location(uri: str) -> str | None:
    """The URI of the folder beside a local store; None for a server, which decides for itself."""
    return (local_database(uri).parent / _ARTIFACTS).as_uri() if is_local(uri) else None


def find_run(client: MlflowClient, run: TrackedRun) -> str | None:
    """MLflow's id of a run; None where the store does not have it.

    Runs of earlier versions are in the experiment of their project.
    """
    names = dict.fromkeys((run.experiment, run.project))
    experiments = [found for name in names if (found := client.get_experiment_by_name(name)) is not None]
    if not experiments:
        return None
    known = client.search_runs(
        [experiment.experiment_id for experiment in experiments],
        filter_string=f"tags.`animatic.run` = '{run.id}'",
        max_results=1,
    )
    return known[0].info.run_id if known else None


def local_run(folder: Path) -> str | None:
    """MLflow's id of the run in this folder where a local store has received it; None if none has.

    Read from the positions of the mirrors alone: MLflow is not imported, and nothing is connected to.
    """
    states = [MirrorState.load(path, "") for path in sorted((folder / "tracking").glob("mlflow-*.json"))]
    return next((state.run_id for state in states if state.run_id and is_local(state.target)), None)


def relocate_artifacts(uri: str) -> None:
    """Let a local store that was moved or copied find its artifacts beside it.

    MLflow records their absolute paths, and would go on writing to those beside the original. Locations that
    others chose, and stores on servers, stay as they are.

    Raises:
        sqlite3.Error: the store cannot be read or written.
    """
    own = artifact_location(uri)
    if own is None or not local_database(uri).is_file():
        return
    with contextlib.closing(sqlite3.connect(local_database(uri), timeout=_BUSY_S)) as store, store:
        if not store.execute("SELECT 1 FROM sqlite_master WHERE name = 'experiments'").fetchall():
            return
        found = store.execute("SELECT DISTINCT artifact_location FROM experiments").fetchall()
        for old in (location for (location,) in found if location and _is_of_a_store(location)):
            if old != own:
                _rewrite(store, old, own)
                logger.warning("MLflow's artifacts are in %s from now on, no longer in %s", own, old)


def _is_of_a_store(location: str) -> bool:
    """Whether :func:`artifact_location` could have returned it."""
    return location.startswith("file:") and location.rpartition("/")[2] == _ARTIFACTS


def _rewrite(store: sqlite3.Connection, old: str, new: str) -> None:
    store.execute("UPDATE experiments SET artifact_location = ? WHERE artifact_location = ?", (new, old))
    store.execute(
        "UPDATE runs SET artifact_uri = ? || substr(artifact_uri, ?) WHERE substr(artifact_uri, 1, ?) = ?",
        (new, len(old) + 1, len(old) + 1, f"{old}/"),
    )


def local_database(uri: str) -> Path:
    """The file of a local store."""
    return Path(uri.removeprefix(SQLITE).partition("?")[0]).resolve()
