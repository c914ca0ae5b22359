"""Finding the run that wrote a bundle or a checkpoint, among the run folders of a workspace."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from orchestration.lineage.runs import RecordedRun
from training.run_folder import RunFolder


class RunIndex:
    """Run folders, read when they are searched."""

    def __init__(self, folders: Iterable[Path]) -> None:
        self._runs = {folder.resolve(): RecordedRun(folder) for folder in folders}

    @property
    def runs(self) -> list[RecordedRun]:
        """All of them."""
        return list(self._runs.values())

    def of_bundle(self, bundle_id: str, folder: Path | None) -> RecordedRun | None:
        """The run that wrote a bundle; the one whose folder contains it, if its journal names no other."""
        if folder is not None:
            run = self._at(folder.resolve().parent)
            if run is not None and bundle_id in run.bundle_ids:
                return run
        return next((run for run in self.runs if bundle_id in run.bundle_ids), None)

    def of_checkpoint(self, digest: str, path: str | None) -> RecordedRun | None:
        """The run that wrote the checkpoint with this digest; ``path``: where that was, if known."""
        if path is not None:
            run = self._at(Path(path).resolve().parent.parent)
            if run is not None and self._wrote(run, digest):
                return run
        return next((run for run in self.runs if self._wrote(run, digest)), None)

    def _at(self, path: Path) -> RecordedRun | None:
        """The run in a folder, which may be outside of the workspace."""
        folder = RunFolder(path)
        if path not in self._runs and folder.config.is_file() and folder.journal.is_file():
            self._runs[path] = RecordedRun(path)
        return self._runs.get(path)

    @staticmethod
    def _wrote(run: RecordedRun, digest: str) -> bool:
        return any(checkpoint.digest == digest for checkpoint in run.checkpoints)
