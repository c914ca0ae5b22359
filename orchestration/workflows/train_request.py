"""What ``animatic train`` does when it is told little: find what the stage needs, or say how to make it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

from core.errors import AnimaticError
from orchestration.devices import default_preset, device_count
from orchestration.workspace import Workspace
from training.batch_source import DatasetSource
from training.config import RunConfig, resolve
from training.config.identity import config_hash
from training.initialisation import open_source_bundles, parent_stage


@dataclass(frozen=True)
class Request:
    """What the user asked for; everything but the stage may be left open."""

    stage: int
    preset: str | None = None
    sets: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()
    data: str | None = None
    address: str | None = None
    gpus: int | None = None

    def chosen_preset(self) -> str:
        """The preset asked for, or the one that suits this machine."""
        return self.preset or default_preset()

    def all_sets(self) -> list[str]:
        """The user's assignments over those that stand for other options; the later one wins."""
        sets: list[str] = []
        gpus = device_count() if self.gpus is None and self.address is None else self.gpus
        if gpus:
            sets += [f"launch.workers={gpus}", "launch.gpus_per_worker=1"]
        elif self.gpus == 0:
            sets.append("launch.gpus_per_worker=0")
        if self.address:
            sets.append(f"launch.address={self.address}")
        if self.data:
            sets.append(f"data.dataset={self.data}")
        return sets + list(self.sets)


def with_parent(request: Request, workspace: Workspace) -> RunConfig:
    """The configuration with the parent found where the stage needs one; bundles and data unverified.

    Raises:
        AnimaticError: no bundle of the stage before was accepted; the message says what makes it.
    """
    preset, sets = request.chosen_preset(), request.all_sets()
    config = resolve(request.stage, preset, sets, request.files)
    parent = parent_stage(config)
    if parent is None or config.init.parent is not None:
        return config
    found = f"init.parent={workspace.parent_bundle(parent, preset)}"
    return resolve(request.stage, preset, [*sets, found], request.files)


def complete(request: Request, workspace: Workspace) -> RunConfig:
    """The configuration with data, base and parent found and verified.

    Raises:
        AnimaticError: something the stage needs is missing or tampered with; the message says what makes it.
    """
    config = with_parent(request, workspace)
    if config.data.dataset is None:
        config = with_parent(replace(request, data=str(_dataset(workspace))), workspace)
    # Fail here, in a second and in one line, rather than in every worker.
    open_source_bundles(config)
    DatasetSource(config)
    return config


def run_folder(config: RunConfig, workspace: Workspace) -> Path:
    """The folder a run has unless the user names one.

    Its name depends on the recipe, the data and the bundles it starts from: the same command finds the same
    run again, and a retrained parent or another dataset gets a new one.
    """
    parts = [config_hash(config), DatasetSource(config).digest]
    parts += [bundle.id for bundle in open_source_bundles(config) if bundle]
    digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:8]
    return workspace.root / f"{config.preset}-stage{config.stage}-{digest}"


def _dataset(workspace: Workspace) -> Path:
    newest = workspace.newest_dataset()
    if newest is None:
        raise AnimaticError(
            f"there is no dataset under {workspace.root}: make one with "
            "`animatic ingest TABLE.csv --videos FOLDER` (`make demo` makes its own), or pass --data DATASET"
        )
    return newest
