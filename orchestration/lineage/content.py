"""What a workspace contains, found by the files that mark it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from models.bundle import INFO
from pipelines.dataset.dataset_record import DATASET
from pipelines.dataset.latent_records import LATENTS
from pipelines.evaluate import REPORT
from training.run_folder import RunFolder

# Contain many files and none of the marks; and what has a hidden name.
_SKIPPED = frozenset({"units", "checkpoints", "logs", "samples", "tracking", "wandb", "ray", "mlartifacts"})


@dataclass
class WorkspaceContent:
    """Folders of runs, finished datasets and latents, and bundles outside of runs; files of reports."""

    runs: list[Path] = field(default_factory=list)
    datasets: list[Path] = field(default_factory=list)
    latents: list[Path] = field(default_factory=list)
    bundles: list[Path] = field(default_factory=list)
    reports: list[Path] = field(default_factory=list)


def content_of(root: Path) -> WorkspaceContent:
    """All that is below a folder, without what cannot be listed; nothing if it does not exist."""
    content = WorkspaceContent()
    for folder, names in _folders(root):
        run = RunFolder(folder)
        if {run.config.name, run.journal.name} <= names:
            content.runs.append(folder)
        if DATASET in names:
            content.datasets.append(folder)
        if LATENTS in names:
            content.latents.append(folder)
        if INFO in names and folder.name != run.bundle.name:
            content.bundles.append(folder)
        if REPORT in names:
            content.reports.append(folder / REPORT)
    return content


def _folders(root: Path) -> Iterator[tuple[Path, set[str]]]:
    """Every folder with the names of its files. Links are followed, since data is often on another disk."""
    visited = set[tuple[int, int]]()
    for folder, subfolders, names in os.walk(root, followlinks=True):
        status = Path(folder).stat()
        if (status.st_dev, status.st_ino) in visited:
            subfolders.clear()
            continue
        visited.add((status.st_dev, status.st_ino))
        # In order, so that what is found does not depend on the file system.
        subfolders[:] = sorted(n for n in subfolders if n not in _SKIPPED and not n.startswith("."))
        yield Path(folder), set(names)
