"""The processes of the service, as Ray Serve runs them: replicas of the API, and of the engine."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING

import ray
from ray import serve

from core.errors import AnimaticError
from orchestration.serving.deployment.scaling import ACTIVE
from orchestration.serving.deployment.stores import open_stores
from orchestration.serving.jobs import ACTIVE as ACTIVE_STATES
from orchestration.serving.settings import ServingSettings

if TYPE_CHECKING:
    from fastapi import FastAPI
    from ray.serve.handle import DeploymentHandle


class ApiReplica:
    """Answers requests. It is stateless, and needs no device."""

    def __init__(self, settings: ServingSettings, engine: DeploymentHandle | None = None) -> None:
        """Args:
        engine: never called: that the API refers to it makes it part of the API's application.
        """
        check_shared(settings)
        self._settings, self._stores = settings, open_stores(settings)

    def __serve_build_asgi_app__(self) -> FastAPI:
        """The app, which Ray Serve asks for once the replica exists."""
        from orchestration.serving.access import Access
        from orchestration.serving.api import build_app
        from orchestration.serving.intake import read_submission

        keys = self._settings.http.keys
        access = Access(None if keys is None else Path(keys))
        return build_app(*self._stores, self._settings, access, read_submission)

    def __del__(self) -> None:
        # After the app's own shutdown.
        self._stores.jobs.close()


class EngineReplica:
    """Runs jobs on a device of its own, from the job store: nobody calls it."""

    def __init__(self, settings: ServingSettings) -> None:
        from orchestration.serving.engine import Engine
        from orchestration.serving.exchange import Exchange

        check_shared(settings)
        self._stop_s = settings.engine.stop_seconds
        self._stores = open_stores(settings)
        # The id alone would be the same after a restart of the actor.
        name = f"{serve.get_replica_context().replica_id.unique_id}-{os.getpid()}"
        threads = _threads(settings)
        self._models = Exchange(self._stores.jobs, settings, name)
        self._engine = Engine(*self._stores, self._models, settings.engine, name, threads=threads)
        self._models.start()
        self._engine.start()

    def check_health(self) -> None:
        """Ray Serve replaces the replica where this raises EngineError."""
        self._engine.check()

    async def record_autoscaling_stats(self) -> dict[str, float]:
        """What :func:`scale_by_queue` decides by."""
        counted = await asyncio.to_thread(self._stores.jobs.count_states)
        return {ACTIVE: float(sum(counted.get(state, 0) for state in ACTIVE_STATES))}

    async def __del__(self) -> None:
        """Ray Serve awaits this before it ends the process: the running videos end, or are released."""
        await asyncio.to_thread(self._stop)

    def _stop(self) -> None:
        self._engine.stop(self._stop_s)
        self._models.close()
        self._stores.jobs.close()


def check_shared(settings: ServingSettings) -> None:
    """Raise AnimaticError where replicas on several nodes would each have stores of their own."""
    nodes = [node for node in ray.nodes() if node["Alive"]]
    state = settings.state
    if len(nodes) < 2:
        return
    if state.database is None or state.database.startswith("sqlite"):
        raise AnimaticError(
            f"the Ray cluster has {len(nodes)} nodes, which cannot share a database in a file: set "
            "state.database to a PostgreSQL URL, as postgresql+psycopg://USER@HOST/DATABASE"
        )
    if state.results is None:
        raise AnimaticError(
            f"the Ray cluster has {len(nodes)} nodes, which do not share {state.folder}: set state.results "
            "to a URL or a folder that all of them reach, as s3://BUCKET/results"
        )


def _threads(settings: ServingSettings) -> int | None:
    """Of the CPU for each replica; None where they have GPUs."""
    import torch

    if torch.cuda.is_available():
        return None
    return max(1, len(os.sched_getaffinity(0)) // settings.engine.max_replicas)
