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

from core.errors import AnimaticError
from core.files import write_text
from core.urls import without_credentials
from training.run_folder import RunFolder

_ID, _FOLDER = Path("tracking", "id"), Path("tracking", "folder")


@dataclass(frozen=True)
class TrackedRun:
    """A run folder as trackers see it: a stable identity, a name and the resolved configuration."""

    folder: Path
    id: str
    name: str
    project: str

    @classmethod
    def of(cls, folder: Path, project: str) -> TrackedRun:
        """The run in ``folder``; its identity is drawn once and kept in the folder.

        A folder that was moved keeps it. A copy beside its original gets an identity of its own, and is
        delivered from its first line on.
        """
        marker, recorded = folder / _ID, folder / _FOLDER
        if not marker.exists() or _is_copy(folder):
            for state in marker.parent.glob("*.json"):
                state.unlink()
            write_text(marker, uuid.uuid4().hex[:12])
        if _text(recorded) != str(folder.resolve()):
            write_text(recorded, str(folder.resolve()))
        return cls(folder, _text(marker), folder.name, project)

    @property
    def journal(self) -> Path:
        return RunFolder(self.folder).journal

    @property
    def kind(self) -> str:
        """The job of the run: ``train`` or ``ingest``."""
        return "ingest" if "ingest" in self.config() else "train"

    def config(self) -> Mapping[str, object]:
        """The resolved configuration that the run wrote; empty before it has."""
        path = self.folder / "config.yaml"
        return (yaml.safe_load(self.config_text()) or {}) if path.exists() else {}

    def config_text(self) -> str:
        """The file with the configuration, without the passwords that earlier versions left in it."""
        return without_credentials((self.folder / "config.yaml").read_text())

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

    @property
    def rows(self) -> int:
        """Steps with anything to deliver."""
        return len({point.step for point in self.points} | {sample.step for sample in self.samples})


class MirrorState(BaseModel):
    """How far one tracker has got; kept in the run folder so that a replay delivers nothing twice.

    ``delivered`` holds the last step of each metric: after a resume a run repeats the steps since its last
    checkpoint, and the values of those are at the tracker already. ``rows`` counts the steps that were
    delivered, each as often as it was.
    """

    target: str
    offset: int = 0
    # State files of earlier versions call it "told".
    delivered: dict[str, int] = Field({}, validation_alias=AliasChoices("delivered", "told"))
    run_id: str | None = None
    described: bool = False
    rows: int = 0

    @staticmethod
    def path(folder: Path, backend: str, target: str) -> Path:
        """One file per tracker and destination: a new server starts from the first line."""
        digest = hashlib.sha256(target.encode()).hexdigest()[:8]
        return folder / "tracking" / f"{backend}-{digest}.json"

    @classmethod
    def load(cls, path: Path, target: str) -> MirrorState:
        """The state in a file, or that of a tracker which has received nothing. Raises AnimaticError."""
        try:
            return cls.model_validate_json(path.read_text()) if path.exists() else cls(target=target)
        except ValueError as error:
            raise AnimaticError(
                f"{path} is damaged: delete it, and the run is delivered again from its first line"
            ) from error

    def save(self, path: Path) -> None:
        write_text(path, self.model_dump_json(indent=1))


def _is_copy(folder: Path) -> bool:
    """Whether the folder that the identity was drawn in, or last seen in, still exists and is another one."""
    original = Path(_text(folder / _FOLDER) or folder)
    marker = original / _ID
    return marker.is_file() and not marker.samefile(folder / _ID) and _text(marker) == _text(folder / _ID)


def _text(path: Path) -> str:
    return path.read_text().strip() if path.is_file() else ""


def _flatten(value: object, prefix: str = "") -> Iterator[tuple[str, object]]:
    if not isinstance(value, Mapping) or not value:
        yield prefix, json.dumps(value) if isinstance(value, list | dict) else value
        return
    for key, inner in value.items():
        yield from _flatten(inner, f"{prefix}.{key}" if prefix else str(key))
