"""The stores that the settings name, opened by each process for itself."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from core.config.locations import with_absolute_paths
from core.urls import absolute
from orchestration.serving.jobs import JobStore, StoreRules
from orchestration.serving.results import Results
from orchestration.serving.settings import ServingSettings

_PATHS = ("source.location", "source.ledger", "state.folder", "state.results", "http.keys")


class Stores(NamedTuple):
    """Jobs, and their pictures and clips."""

    jobs: JobStore
    results: Results


def with_own_paths(settings: ServingSettings) -> ServingSettings:
    """The same settings with absolute paths: Ray's workers have working directories of their own."""
    source = settings.source
    signers = tuple(absolute(signer) for signer in source.signers)
    changed = settings.model_copy(update={"source": source.model_copy(update={"signers": signers})})
    return with_absolute_paths(changed, *_PATHS)


def open_stores(settings: ServingSettings) -> Stores:
    """Open the stores of a service whose paths are absolute.

    Raises:
        AnimaticError: a URL of an unknown kind, a folder that cannot be created, or another kind of database.
        JobStoreError: the database does not answer.
    """
    state, engine = settings.state, settings.engine
    folder = Path(state.folder)
    folder.mkdir(parents=True, exist_ok=True)
    rules = StoreRules(
        lease_s=engine.lease_seconds,
        attempts=engine.attempts,
        keep_s=state.keep_hours * 3600,
        max_bytes=state.max_bytes,
    )
    jobs = JobStore(state.database or f"sqlite:///{folder / 'jobs.sqlite'}", rules)
    return Stores(jobs, Results(state.results or folder / "results", folder / "cache"))
