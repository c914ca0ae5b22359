"""What the job store contains: jobs, reports of replicas, and rollbacks in force. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from core.errors import AnimaticError
from models.diffusion.settings import SamplingSettings, Solver
from models.modes import Mode
from models.student import StudentConfig

JobState = Literal["queued", "in_progress", "completed", "failed", "cancelled", "expired"]
ACTIVE: frozenset[JobState] = frozenset({"queued", "in_progress"})


class JobStoreError(AnimaticError):
    """The database does not answer, or refuses; a later attempt may succeed."""


class LeaseLostError(JobStoreError):
    """The job is another replica's, or has ended: what this replica reports of it counts for nothing."""


class IdempotencyConflictError(AnimaticError):
    """A key that was used for another request."""


class RetryLaterError(AnimaticError):
    """A refusal that ends by itself; ``retry_after_s``: when it may have."""

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class QueueFullError(RetryLaterError):
    """No more videos may wait."""


class RateLimitedError(RetryLaterError):
    """The key has submitted too many videos within a minute."""


class StorageFullError(RetryLaterError):
    """The results store has no room for another request."""


class _Stored(BaseModel):
    """A record in a JSON column. Keys that a later version adds are ignored."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)


class StoredPicture(_Stored):
    """A picture as it came; ``name``: of its object in the results store."""

    name: str
    sha256: str
    bytes: int
    width: int
    height: int


def _is_none(value: object) -> bool:
    """Fields from after the first version are not recorded unless they are set: jobs keep their bytes."""
    return value is None


class SamplingChoice(_Stored):
    """Settings that the client, or else the operator, chose; the bundle decides the others at the run."""

    steps: int | None = None
    eta: float | None = None
    text_guidance: float | None = None
    image_guidance: float | None = None
    fps: float | None = None
    solver: Solver | None = Field(None, exclude_if=_is_none)
    guidance_interval: tuple[float, float] | None = Field(None, exclude_if=_is_none)
    guidance_every: int | None = Field(None, exclude_if=_is_none)
    cache_every: int | None = Field(None, exclude_if=_is_none)
    motion: float | None = Field(None, exclude_if=_is_none)


class JobSpec(_Stored):
    """What is to be sampled.

    Attributes:
        model: name of an export, or the id of a bundle.
        size: (width, height) asked for; None takes the model's.
        seed: of the noise, drawn at acceptance if none was given, so that every run of the job is the same.
        playback: frames per second of the files.
    """

    model: str
    prompt: str
    mode: Mode = "animate"
    frames: int | None = None
    size: tuple[int, int] | None = None
    sampling: SamplingChoice = SamplingChoice()
    seed: int
    playback: float = 8.0
    first: StoredPicture
    last: StoredPicture | None = None

    @property
    def pictures(self) -> tuple[StoredPicture, ...]:
        """All pictures."""
        return (self.first,) if self.last is None else (self.first, self.last)


class MadeBy(_Stored):
    """What made a clip.

    Attributes:
        manifest: digest of the export's ``export.json``, which is the version.
        alias: that the bundle was named by when it was exported; None if by folder or id.
        sampling: the settings that were used, those that the bundle decided included.
    """

    bundle_id: str
    manifest: str
    preset: str
    stage: int
    alias: str | None
    replica: str
    sampling: SamplingSettings | None = None


class Clip(_Stored):
    """A file of a clip; ``name``: of its object in the results store."""

    name: str
    sha256: str
    bytes: int
    width: int
    height: int
    frames: int
    seconds: float


class JobError(_Stored):
    """Why a job failed."""

    code: str
    message: str


@dataclass(frozen=True)
class Job:
    """A job.

    Attributes:
        owner: name of the API key; ``anonymous`` without keys.
        started: of the last attempt; all times are UTC.
        expires: when its clip, or else its row, may be removed; None while it is active.
        attempt: number of claims so far.
        lost: attempts whose replicas were lost.
        batch: that it was claimed with.
        step: of ``steps``, of the running attempt.
        cancel_requested: its owner wants it cancelled.
        position: in the queue, from 1; None unless it is queued.
    """

    id: str
    owner: str
    state: JobState
    spec: JobSpec
    created: datetime
    started: datetime | None = None
    ended: datetime | None = None
    expires: datetime | None = None
    attempt: int = 0
    lost: int = 0
    batch: str | None = None
    replica: str | None = None
    step: int | None = None
    steps: int | None = None
    remaining_s: float | None = None
    cancel_requested: bool = False
    error: JobError | None = None
    made_by: MadeBy | None = None
    mp4: Clip | None = None
    gif: Clip | None = None
    position: int | None = None

    @property
    def clips(self) -> list[str]:
        """Names of its clips in the results store."""
        return [clip.name for clip in (self.mp4, self.gif) if clip is not None]

    @property
    def objects(self) -> list[str]:
        """Names of its pictures and clips; the pictures go when it ends."""
        return [*(picture.name for picture in self.spec.pictures), *self.clips]


@dataclass(frozen=True)
class Submission:
    """An accepted job; not ``created`` where its idempotency key was used for it before."""

    job: Job
    created: bool


class ServedVersion(_Stored):
    """A version of a model that a replica serves.

    Attributes:
        since: when the replica began to serve it.
        frames: of its clips by default.
        modes: that its network supports.
        motion: least and most that its network can be asked for; None: none.
        student: what its network was distilled for, if it was.
    """

    name: str
    bundle_id: str
    manifest: str
    preset: str
    stage: int
    alias: str | None
    since: datetime
    width: int
    height: int
    frames: int
    modes: tuple[Mode, ...]
    sampling: SamplingSettings
    motion: tuple[float, float] | None = None
    student: StudentConfig | None = None


ModelState = Literal["waiting", "fetching", "verifying", "loading", "smoke", "serving"]


class ModelStatus(_Stored):
    """A model on one replica.

    Attributes:
        desired: manifest of the version that it should serve; None if it is not known.
        former: manifest of the version before, kept for a rollback; ``former_bundle``: id of its bundle.
        last_error: of the newest exchange, one line; None once one succeeded.
    """

    name: str
    state: ModelState
    serving: ServedVersion | None = None
    desired: str | None = None
    former: str | None = None
    former_bundle: str | None = None
    last_error: str | None = None
    last_error_at: datetime | None = None
    held: bool = False


class ReplicaReport(_Stored):
    """What a replica reports of itself."""

    replica: str
    device: str
    memory_bytes: int | None = None
    models: tuple[ModelStatus, ...] = ()
    notes: tuple[str, ...] = ()


class ReplicaStatus(ReplicaReport):
    """A report, and when it came; ``live``: it came recently."""

    reported: datetime
    live: bool


@dataclass(frozen=True)
class Hold:
    """A rollback in force: every replica serves ``serve`` instead of ``manifest``, which was rolled back.

    Both are digests of manifests. It ends when the pointer names another version, or when it is lifted.
    """

    model: str
    manifest: str
    serve: str
    since: datetime
    actor: str
