"""What is known of a job: recorded with it when it is submitted, and of its course."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, NotRequired, TypedDict, cast

if TYPE_CHECKING:
    from ray.job_submission import JobDetails

State = Literal["PENDING", "RUNNING", "STOPPED", "SUCCEEDED", "FAILED"]
_ENDED: tuple[State, ...] = ("STOPPED", "SUCCEEDED", "FAILED")
_PREFIX = "animatic_"


class RuntimeEnv(TypedDict):
    """Ray's description of the environment in which the processes of a job run, as far as jobs here use it.

    ``uv``: ``packages``, requirements to install first; ``config``: ``setup_timeout_seconds`` for that.
    """

    env_vars: dict[str, str]
    uv: NotRequired[dict[str, list[str]]]
    config: NotRequired[dict[str, int]]


@dataclass(frozen=True)
class Description:
    """What is recorded with a job for people to read; the cluster's dashboard displays it.

    Attributes:
        verb: of the command.
        subject: what it works on, in a few words.
        submitted_by: user and machine.
        code: digest of the files that it runs from.
        code_version: of these, as bundles record it.
        config_hash: of the run that it trains; empty for other verbs.
        environment: ``image`` or ``lock``, where its packages come from.
    """

    verb: str
    subject: str
    submitted_by: str
    code: str
    code_version: str
    config_hash: str
    environment: str

    def metadata(self) -> dict[str, str]:
        """As metadata of a Ray Job."""
        return {_PREFIX + name: value for name, value in asdict(self).items()}

    @classmethod
    def of(cls, metadata: dict[str, str]) -> Description | None:
        """From the metadata of a Ray Job; None of one that was not submitted by animatic."""
        values = {name: metadata.get(_PREFIX + name) for name in cls.__annotations__}
        return cls(**cast(dict[str, str], values)) if None not in values.values() else None


@dataclass(frozen=True)
class Job:
    """A job of a cluster.

    Attributes:
        description: None for jobs that other programs submitted.
        ended: None while it runs.
        exit_code: of its process, 128 + signal where one killed it; None where that never ended by itself, or
            never started.
        message: Ray's own, on its state.
    """

    id: str
    state: State
    entrypoint: str
    description: Description | None
    started: datetime | None
    ended: datetime | None
    exit_code: int | None
    message: str

    @classmethod
    def of(cls, details: JobDetails) -> Job:
        """From Ray's own record."""
        return cls(
            id=details.submission_id,
            state=cast(State, str(details.status)),
            entrypoint=details.entrypoint,
            description=Description.of(details.metadata or {}),
            started=_time(details.start_time),
            ended=_time(details.end_time),
            exit_code=_exit_code(details.driver_exit_code),
            message=details.message or "",
        )

    @property
    def has_ended(self) -> bool:
        return self.state in _ENDED

    def seconds(self, now: datetime) -> float | None:
        """From its start to its end, or to ``now``."""
        return ((self.ended or now) - self.started).total_seconds() if self.started else None


def _exit_code(code: int | None) -> int | None:
    """As a shell reports it: Ray records -9 of a process that SIGKILL ended."""
    return 128 - code if code is not None and code < 0 else code


def _time(milliseconds: int | None) -> datetime | None:
    return datetime.fromtimestamp(milliseconds / 1000, UTC) if milliseconds else None
