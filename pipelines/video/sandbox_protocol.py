"""What crosses the border to the sandbox: one JSON request a line, one JSON reply a line.

The sandbox runs decoders on hostile bytes, so its replies are validated.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from pipelines.video.records import ClipRecord


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class NormaliseRequest(_Message):
    """Cut and encode one file, or spans of it in seconds, into clips of ``key`` in folder ``out``."""

    path: Path
    key: str
    out: Path
    deadline_s: float
    spans: list[tuple[float, float]] = []


class Ready(_Message):
    """The sandbox has read its settings."""

    kind: Literal["ready"] = "ready"


class Progress(_Message):
    """Another minute of the video is done, and the deadline starts again."""

    kind: Literal["progress"] = "progress"


class Clips(_Message):
    """The clips that were written."""

    kind: Literal["clips"] = "clips"
    clips: list[ClipRecord]


class Rejection(_Message):
    """A fault of the file."""

    kind: Literal["rejection"] = "rejection"
    reason: str
    detail: str


class WriteFailure(_Message):
    """A fault of this machine: clips cannot be written, or the file is gone."""

    kind: Literal["write_failure"] = "write_failure"
    error: str


Reply = Ready | Progress | Clips | Rejection | WriteFailure
REPLY: TypeAdapter[Reply] = TypeAdapter(Annotated[Reply, Field(discriminator="kind")])
