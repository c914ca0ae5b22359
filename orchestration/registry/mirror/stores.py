"""The ledger's mirror in MLflow's model registry. Nothing reads it back: the ledger decides."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from core.deadline import within
from core.errors import AnimaticError
from core.retry import RetryableError, RetryPolicy
from core.urls import without_credentials
from orchestration.registry.entry import Entry
from orchestration.registry.ledger import Ledger
from orchestration.registry.mirror.reconcile import Change, UnknownVersion, reconcile
from orchestration.registry.mirror.sources import Sources, tracking_folder
from orchestration.registry.mirror.state import RegistryState, desired_state
from orchestration.tracking import is_local, mlflow_client, recorded_tracking

if TYPE_CHECKING:
    from mlflow import MlflowClient

logger = logging.getLogger(__name__)
# A command that has changed the ledger waits no longer than this for all servers together.
LIMIT_S = 30.0
REBUILD_LIMIT_S = 600.0
# How MLflow's client describes a connection that was refused, broken or timed out.
_NO_ANSWER = "failed with exception"
_ATTEMPTS = RetryPolicy(attempts=5, pause_s=0.2, jitter=True)


@dataclass(frozen=True)
class MirroredStore:
    """What was changed in one MLflow store, and the versions that it has in addition to the ledger's.

    ``target``: its URI without credentials.
    """

    target: str
    changes: tuple[Change, ...]
    unknown: tuple[UnknownVersion, ...]


def mirror_ledger(ledger: Ledger, workspace_uri: str, uri: str | None = None) -> list[MirroredStore]:
    """Rebuild MLflow's model registry from the ledger: models, versions, tags, descriptions and aliases.

    Args:
        workspace_uri: the store of bundles whose run, if they have one, records none of its own.
        uri: the only store; by default those of all bundles with an alias.

    Raises:
        AnimaticError: the ledger is damaged; or a store could not be updated, after all others were.
    """
    uris = [uri] if uri is not None else _stores(ledger, workspace_uri)
    mirrored: list[MirroredStore] = []
    problems = []
    for each in uris:
        found = _attempt(ledger, each, REBUILD_LIMIT_S)
        if isinstance(found, MirroredStore):
            mirrored.append(found)
        else:
            problems.append(found)
    if problems:
        raise AnimaticError("; ".join(problems))
    return mirrored


def mirror_change(ledger: Ledger, workspace_uri: str, entry: Entry, limit_s: float = LIMIT_S) -> str | None:
    """Bring MLflow up to date after an entry; a warning, in one line, where that failed.

    The stores are those of all bundles with an alias, and of the entry's bundle. Servers get ``limit_s``
    together, whether they answer or not; a local store is not interrupted while it is written.
    """
    end = time.monotonic() + limit_s
    try:
        uris = _stores(ledger, workspace_uri, entry)
    except AnimaticError as error:
        problems = [str(error)]
    else:
        found = [_attempt(ledger, uri, max(end - time.monotonic(), 0.0)) for uri in uris]
        problems = [problem for problem in found if isinstance(problem, str)]
    if not problems:
        return None
    return (
        f"recorded in the ledger, but MLflow's registry could not be updated: {'; '.join(problems)}. "
        "`animatic registry mirror` repeats it"
    )


def _stores(ledger: Ledger, workspace_uri: str, entry: Entry | None = None) -> list[str]:
    """The stores that contain an alias, or should; that of the workspace where there is none."""
    history = ledger.snapshot()
    state = desired_state(history)
    folders = [
        version.folder
        for model in state.models
        for version in model.versions
        if version.bundle_id in model.aliases.values()
    ]
    if entry is not None:
        folders.append(history.path_of(entry))
    uris = [recorded_tracking(tracking_folder(folder), workspace_uri).mlflow_uri for folder in folders]
    return list(dict.fromkeys(uris)) or [workspace_uri]


def _attempt(ledger: Ledger, uri: str, limit_s: float) -> MirroredStore | str:
    """What was done, or in one line why it failed."""
    try:
        # A thread that is left to itself must not be in the middle of creating the tables of a file.
        return _mirror(ledger, uri) if is_local(uri) else within(limit_s, lambda: _mirror(ledger, uri))
    except Exception as error:
        # A tracker may fail in any way, and the ledger has the entry already: nothing to undo.
        logger.info("MLflow registry: %s", error, exc_info=True)
        return without_credentials(_reason(error, uri))


def _mirror(ledger: Ledger, uri: str) -> MirroredStore:
    """Reconcile until the ledger did not change meanwhile: of two mirrors at once, the last one is right."""
    client = mlflow_client(uri)
    changes: list[Change] = []
    state, unknown = None, tuple[UnknownVersion, ...]()
    while (present := desired_state(ledger.snapshot())) != state:
        unknown = _ATTEMPTS.call(
            partial(_reconcile_once, client, present, Sources(client, uri), changes.append)
        )
        state = present
    return MirroredStore(without_credentials(uri), tuple(changes), unknown)


def _reconcile_once(
    client: MlflowClient, state: RegistryState, sources: Sources, on_change: Callable[[Change], None]
) -> tuple[UnknownVersion, ...]:
    """Raises RetryableError for an error that the store answers with, as it may to one of two mirrors."""
    from mlflow.exceptions import MlflowException

    try:
        return reconcile(client, state, sources, on_change)
    except MlflowException as error:
        if _NO_ANSWER in str(error):
            raise
        raise RetryableError(str(error)) from error


def _reason(error: Exception, uri: str) -> str:
    if isinstance(error, ModuleNotFoundError):
        return f"MLflow is not installed ({error}): pip install mlflow"
    text = str(error).strip()
    first = text.splitlines()[0] if text else type(error).__name__
    if isinstance(error, TimeoutError) or _NO_ANSWER in first:
        return f"MLflow at {uri} does not answer: check its address, and that it runs"
    return first if isinstance(error, AnimaticError) else f"MLflow at {uri}: {first}"
