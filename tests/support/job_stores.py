"""Jobs, clips and clocks for tests of the job store."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from models.diffusion.settings import SamplingSettings
from orchestration.serving.jobs import (
    Clip,
    Job,
    JobSpec,
    JobStore,
    MadeBy,
    ModelStatus,
    ReplicaReport,
    ServedVersion,
    StoredPicture,
)
from orchestration.serving.settings import LimitSettings

LIMITS = LimitSettings(queue=1000, queue_per_key=1000, requests_per_minute=100_000)
DIGEST = "0" * 64


class Clock:
    """Time that a test sets forward."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now

    def forward(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds


def picture(name: str = "pictures/1", size: int = 100) -> StoredPicture:
    """A stored picture; nothing is stored."""
    return StoredPicture(name=name, sha256=DIGEST, bytes=size, width=64, height=40)


def spec(**changed: Any) -> JobSpec:
    """What a client asks for."""
    given = {"model": "champion", "prompt": "waves", "seed": 1, "first": picture()} | changed
    return JobSpec.model_validate(given)


def submit(store: JobStore, owner: str = "ann", **changed: Any) -> Job:
    """Accept a job."""
    return store.submit(spec(**changed), owner, LIMITS).job


def made_by(replica: str = "r1") -> MadeBy:
    """What made a clip."""
    return MadeBy(bundle_id=DIGEST, manifest=DIGEST, preset="tiny", stage=3, alias=None, replica=replica)


def clip(job: Job, suffix: str = ".mp4", size: int = 1000) -> Clip:
    """The clip of an attempt; nothing is stored."""
    return Clip(
        name=f"clips/{job.id}-{job.attempt}{suffix}", sha256=DIGEST, bytes=size, width=64, height=40,
        frames=8, seconds=1.0,
    )  # fmt: skip


def complete(store: JobStore, job: Job, size: int = 1000) -> None:
    """End a claimed job well."""
    store.complete(job, made_by(job.replica or ""), clip(job, size=size), None)


def report(store: JobStore, *models: ModelStatus, replica: str = "r1") -> None:
    """Report a replica with these models."""
    store.report(ReplicaReport(replica=replica, device="cpu", models=models))


def serving(name: str, bundle_id: str = DIGEST, *, since: float) -> ModelStatus:
    """A model that a replica serves; ``since``: seconds since 1970."""
    version = ServedVersion(
        name=name, bundle_id=bundle_id, manifest=DIGEST, preset="tiny", stage=3, alias=name,
        since=datetime.fromtimestamp(since, UTC), width=64, height=40, frames=8, modes=("animate",),
        sampling=SamplingSettings(),
    )  # fmt: skip
    return ModelStatus(name=name, state="serving", serving=version, desired=DIGEST)


def sqlite_url(folder: Path) -> str:
    """Of a job store in a folder."""
    return f"sqlite:///{folder / 'jobs.sqlite'}"
