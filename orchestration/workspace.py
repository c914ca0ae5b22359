"""The default locations on this machine."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from core.errors import AnimaticError
from core.urls import is_url, without_credentials
from orchestration.registry import Ledger, newest_folder

RUNS_VARIABLE = "ANIMATIC_RUNS"
REGISTRY_VARIABLE = "ANIMATIC_REGISTRY"
MLFLOW_VARIABLE = "ANIMATIC_MLFLOW_URI"


@dataclass(frozen=True)
class Workspace:
    """One folder (``$ANIMATIC_RUNS`` if set, otherwise ``runs/``) for runs and datasets.

    ``registry``: the folder or URL of the ledger and its evidence (``$ANIMATIC_REGISTRY``); ``root`` if None.
    """

    root: Path
    registry: str | None = None

    @classmethod
    def current(cls) -> Workspace:
        """The workspace of this process. Raises AnimaticError where its variable contains a URL."""
        folder = os.environ.get(RUNS_VARIABLE) or "runs"
        if is_url(folder):
            raise AnimaticError(
                f"{RUNS_VARIABLE}={without_credentials(folder)} is a URL, but runs are written to a local "
                "folder: name one"
            )
        return cls(Path(folder), os.environ.get(REGISTRY_VARIABLE) or None)

    @property
    def ledger(self) -> Ledger:
        """Raises AnimaticError for a URL of a kind that cannot contain a ledger."""
        return Ledger(self.registry or self.root)

    @property
    def mlflow_uri(self) -> str:
        """``$ANIMATIC_MLFLOW_URI``, which may contain a password and is written nowhere; otherwise a SQLite
        store shared by all runs of this workspace."""
        return os.environ.get(MLFLOW_VARIABLE) or f"sqlite:///{(self.root / 'mlflow.db').resolve()}"

    @property
    def data(self) -> Path:
        """Where ``animatic ingest`` writes by default."""
        return self.root / "data"

    def dataset(self, given: str | None) -> str:
        """The given dataset, or else the newest one.

        Raises:
            AnimaticError: none was given and the workspace has none.
        """
        if given is not None:
            return given
        newest = self.newest_dataset()
        if newest is None:
            raise AnimaticError(
                f"no dataset under {self.root}: create one with `animatic ingest TABLE.csv --videos FOLDER` "
                "(`make demo` creates its own), or name one"
            )
        return str(newest)

    def newest_dataset(self) -> Path | None:
        """The dataset finished last: ``runs/data``, or ``runs/NAME`` or ``runs/NAME/data`` of any run."""
        if not self.root.is_dir():
            return None
        patterns = ("*/dataset.json", "*/data/dataset.json", "data/*/dataset.json")
        found = [path for pattern in patterns for path in self.root.glob(pattern)]
        return max(found, key=lambda path: path.stat().st_mtime).parent if found else None

    def parent_bundle(self, stage: int, preset: str) -> Path:
        """The folder of the newest accepted bundle of ``stage``.

        Raises:
            AnimaticError: there is none, and the message names the command that trains it; or its folder
                contains another bundle by now.
        """
        folder = newest_folder(self.ledger, stage, preset)
        if folder is None:
            raise AnimaticError(
                f"this stage continues a stage-{stage} bundle of preset {preset}, and {self.ledger} "
                f"lists none: run `make train STAGE={stage} PRESET={preset}` first, "
                "or pass --set init.parent=FOLDER"
            )
        return folder


def display_path(path: Path | str) -> str:
    """A path below the working directory relative to it; any other path, and a URL, as it is."""
    if is_url(str(path)):
        return str(path)
    resolved, here = Path(path).resolve(), Path.cwd()
    return str(resolved.relative_to(here)) if resolved.is_relative_to(here) else str(path)
