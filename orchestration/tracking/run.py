"""What a tracker is told about a run, and how far each tracker has got."""

from __future__ import annotations

import hashlib
import json
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

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
        """What the run does: train or ingest."""
        return "ingest" if "ingest" in self.config() else "train"

    def config(self) -> dict[str, Any]:
        """The resolved configuration the run wrote, or nothing before it has."""
        path = self.folder / "config.yaml"
        return (yaml.safe_load(path.read_text()) or {}) if path.exists() else {}

    def parameters(self) -> dict[str, str]:
        """The configuration with dotted keys, for trackers that know only flat names."""
        return {key: str(value) for key, value in _flatten(self.config())}


@dataclass(frozen=True)
class Point:
    """One metric value."""

    key: str
    value: float
    step: int
    time: float


@dataclass
class Delivery:
    """What a batch of journal lines means to a tracker, already rid of everything told before."""

    points: list[Point] = field(default_factory=list)
    samples: list[tuple[int, Path, str]] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)
    started: bool = False
    ended: bool = False


class MirrorState(BaseModel):
    """How far one tracker has got; kept in the run folder so that a replay never tells twice.

    ``told`` holds the last step delivered for each metric: after a resume a run repeats the steps since its
    last checkpoint, and those values have been delivered already.
    """

    target: str
    offset: int = 0
    told: dict[str, int] = {}
    run_id: str | None = None
    described: bool = False

    @staticmethod
    def path(folder: Path, backend: str, target: str) -> Path:
        """One file per tracker and destination: another server starts from the first line."""
        digest = hashlib.sha256(target.encode()).hexdigest()[:8]
        return folder / "tracking" / f"{backend}-{digest}.json"

    @classmethod
    def load(cls, path: Path, target: str) -> MirrorState:
        return cls.model_validate_json(path.read_text()) if path.exists() else cls(target=target)

    def save(self, path: Path) -> None:
        write_text(path, self.model_dump_json(indent=1))


def _flatten(value: Any, prefix: str = "") -> list[tuple[str, Any]]:
    if not isinstance(value, dict) or not value:
        return [(prefix, json.dumps(value) if isinstance(value, list | dict) else value)]
    return [
        pair
        for key, inner in value.items()
        for pair in _flatten(inner, f"{prefix}.{key}" if prefix else str(key))
    ]
