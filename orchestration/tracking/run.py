"""A run as trackers see it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

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
    def paths(self) -> RunFolder:
        return RunFolder(self.folder)

    @property
    def journal(self) -> Path:
        return self.paths.journal

    @property
    def kind(self) -> str:
        """The job of the run: ``train`` or ``ingest``."""
        return "ingest" if "ingest" in self.config() else "train"

    @property
    def group(self) -> str | None:
        """Preset and stage of a training: losses and figures compare within them alone."""
        config = self.config()
        if "stage" not in config or "preset" not in config:
            return None
        return f"{config['preset']} / stage {config['stage']}"

    @property
    def experiment(self) -> str:
        """``PROJECT / PRESET / stage N`` for a training, the project for other runs."""
        return f"{self.project} / {self.group}" if self.group else self.project

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
