"""Whether the services that a run writes to answer."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator

from core.errors import AnimaticError
from core.storage import UnavailableError
from core.urls import is_web
from orchestration.workflows.doctor.checks import Check
from orchestration.workflows.doctor.shared_checks import reachable
from training.config import TrackingConfig
from training.upload.folder import RemoteFolder

_STORE_PATIENCE_S = 20.0
_WANDB = "https://api.wandb.ai"


def store_writable(url: str, *, resuming: bool = False) -> Check:
    """Whether an object can be written to the folder, read and deleted.

    Args:
        resuming: from a checkpoint of this machine, for which an outage of the store is no reason to wait.
    """
    name, content = f".preflight-{uuid.uuid4().hex}", b"animatic: may be deleted"
    try:
        folder = RemoteFolder(url, _STORE_PATIENCE_S)
        folder.write(name, content)
        try:
            read = folder.read(name)
        finally:
            folder.delete(name)
    except UnavailableError as error:
        fix = "the run goes on from its own checkpoint, and uploads once the store answers"
        if not resuming:
            fix = "repeat the command when it answers, or check the URL"
        return Check("upload", False, f"upload.url does not answer ({error}): {fix}", needed=not resuming)
    except (AnimaticError, FileNotFoundError) as error:
        fix = "check the URL, the credentials and their right to write, read and delete"
        return Check("upload", False, f"upload.url cannot be written to ({error}): {fix}")
    if read != content:
        return Check("upload", False, f"{folder} returned other content than was written: use another store")
    return Check("upload", True, f"{folder} can be written to, read and deleted from")


def trackers(tracking: TrackingConfig, mlflow_uri: str) -> Iterator[Check]:
    """Whether the servers of MLflow and W&B, where they are used, accept connections."""
    uri = tracking.mlflow_uri or mlflow_uri
    if is_web(uri):
        yield reachable("mlflow", uri)
    if tracking.wandb == "online":
        yield reachable("wandb", os.environ.get("WANDB_BASE_URL") or _WANDB)
