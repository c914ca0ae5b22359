"""The folder of a run."""

from dataclasses import dataclass
from pathlib import Path

from core.host import host_identity
from core.storage import WRITERS


@dataclass(frozen=True)
class RunFolder:
    """Paths inside the folder of a run, which is on a file system that all its processes share."""

    path: Path

    @property
    def writers(self) -> Path:
        """The fencing tokens of those that have written here: see :mod:`core.fencing`."""
        return self.path / WRITERS

    @property
    def launch_lock(self) -> Path:
        """Held by the command that launches the run from this machine, as long as it runs."""
        return self.writers / f"launch-{host_identity()}.lock"

    @property
    def lock(self) -> Path:
        """Held by the first process of the run, if on this machine, while it writes here."""
        return self.writers / f"run-{host_identity()}.lock"

    @property
    def config(self) -> Path:
        """The resolved configuration."""
        return self.path / "config.yaml"

    @property
    def environment(self) -> Path:
        """Python, packages, machines and GPUs; see :mod:`training.processes.environment`."""
        return self.path / "environment.json"

    @property
    def journal(self) -> Path:
        """What happened; see :mod:`training.journal`."""
        return self.path / "journal.jsonl"

    @property
    def logs(self) -> Path:
        """What each process did: see :mod:`training.processes.output`."""
        return self.path / "logs"

    @property
    def tracking_id(self) -> Path:
        """The identity of the run for trackers, which a copy on another machine keeps."""
        return self.path / "tracking" / "id"

    @property
    def checkpoints(self) -> Path:
        """See :mod:`training.checkpoints`."""
        return self.path / "checkpoints"

    @property
    def guard(self) -> Path:
        """Dumps of skipped steps; see :mod:`training.guard.dump`."""
        return self.path / "guard"

    @property
    def samples(self) -> Path:
        """Validation samples."""
        return self.path / "samples"

    @property
    def profile(self) -> Path:
        """Traces of the profiler."""
        return self.path / "profile"

    @property
    def heartbeats(self) -> Path:
        """What each process does; see :mod:`training.heartbeats`."""
        return self.path / "heartbeats"

    @property
    def bundle(self) -> Path:
        """The product."""
        return self.path / "bundle"
