"""The folder of a run."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class RunFolder:
    """Paths inside the folder of a run, which is on a file system that all its processes share."""

    path: Path

    @property
    def config(self) -> Path:
        """The resolved configuration."""
        return self.path / "config.yaml"

    @property
    def journal(self) -> Path:
        """What happened; see :mod:`training.journal`."""
        return self.path / "journal.jsonl"

    @property
    def checkpoints(self) -> Path:
        """See :mod:`training.checkpoints`."""
        return self.path / "checkpoints"

    @property
    def samples(self) -> Path:
        """Validation samples."""
        return self.path / "samples"

    @property
    def bundle(self) -> Path:
        """The product."""
        return self.path / "bundle"
