"""What trackers receive about a run, and how far each of them has got."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from pydantic import AliasChoices, BaseModel, Field

from core.files import write_text


@dataclass(frozen=True)
class TrackedRun:
    """A run folder as trackers see it: a stable identity, a name and the resolved configuration."""

    folder: Path
    id: str
    name: str
    project: str

    @classmethod
    def of(cls, folder: Path, project: str) -> TrackedRun:
        """The run in ``folder``; its identity is drawn once and kept in the folder."""
        marker = folder / "tracking" / "id"
        if not marker.exists():
            write_text(marker, uuid.uuid4().hex[:12])
        return cls(folder, marker.read_text().strip(), folder.name, project)

    @property
    def journal(self) -> Path:
        return self.folder / "journal.jsonl"

    @property
    def kind(self) -> str:
        """The job of the run: ``train`` or ``ingest``."""
        return "ingest" if "ingest" in self.config() else "train"

    def config(self) -> Mapping[str, object]:
        """The resolved configuration that the run wrote; empty before it has."""
        path = self.folder / "config.yaml"
        return (yaml.safe_load(path.read_text()) or {}) if path.exists() else {}

    def parameters(self) -> dict[str, str]:
        """The configuration with dotted keys, for trackers with flat names only."""
        return {key: str(value) for key, value in _flatten(self.config())}


@dataclass(frozen=True)
class Point:
    """One metric value."""

    key: str
    value: float
    step: int
    time: float


@dataclass(frozen=True)
class SampleFile:
    """A picture or clip that was drawn at a step, with its prompt."""

    step: int
    path: Path
    prompt: str


@dataclass
class Delivery:
    """What a batch of journal lines means to a tracker, without anything that was delivered before."""

    points: list[Point] = field(default_factory=list)
    samples: list[SampleFile] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)
    started: bool = False
    ended: bool = False


class MirrorState(BaseModel):
    """How far one tracker has got; kept in the run folder so that a replay delivers nothing twice.

    ``delivered`` holds the last step of each metric: after a resume a run repeats the steps since its last
    checkpoint, and the values of those are at the tracker already.
    """

    target: str
    offset: int = 0
    # State files of earlier versions call it "told".
    delivered: dict[str, int] = Field({}, validation_alias=AliasChoices("delivered", "told"))
    run_id: str | None = None
    described: bool = False

    @staticmethod
    def path(folder: Path, backend: str, target: str) -> Path:
        """One file per tracker and destination: a new server starts from the first line."""
        digest = hashlib.sha256(target.encode()).hexdigest()[:8]
        return folder / "tracking" / f"{backend}-{digest}.json"

    @classmethod
    def load(cls, path: Path, target: str) -> MirrorState:
        return cls.model_validate_json(path.read_text()) if path.exists() else cls(target=target)

    def save(self, path: Path) -> None:
        write_text(path, self.model_dump_json(indent=1))


def _flatten(value: object, prefix: str = "") -> Iterator[tuple[str, object]]:
    if not isinstance(value, Mapping) or not value:
        yield prefix, json.dumps(value) if isinstance(value, list | dict) else value
        return
    for key, inner in value.items():
        yield from _flatten(inner, f"{prefix}.{key}" if prefix else str(key))
