"""A folder in which the processes of a run on one machine report their end to what has launched them.

It replaces exit codes, which torchrun answers by starting all processes again: a run that was
stopped, or ended by an error that the user has to fix, ends its processes with exit code 0.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter

from core.host import process_identity
from training.processes.signs_of_life import Failure
from training.result import Outcome

Record = TypeVar("Record")


_OUTCOME: TypeAdapter[Outcome] = TypeAdapter(Outcome)
_FAILURE = TypeAdapter(Failure)


class StatusFolder:
    """Written by the processes of a run, and read by the launcher."""

    def __init__(self, folder: Path) -> None:
        """``folder`` exists."""
        self._folder = folder

    def write_launcher(self) -> None:
        """Record this process as the launcher."""
        (self._folder / "launcher").write_text(f"{os.getpid()} {process_identity(os.getpid())}")

    def has_launcher(self) -> bool:
        """Whether the launcher still runs; False too where the folder was deleted."""
        try:
            pid, _, identity = (self._folder / "launcher").read_text().partition(" ")
            return process_identity(int(pid)) == identity
        except OSError:
            return False

    def fail(self, failure: Failure, restart: int) -> None:
        """A process ends with an error, after so many restarts of all processes."""
        self._write(f"failure-{restart}-{failure.rank}", _FAILURE.dump_json(failure))

    def failures(self, restart: int) -> list[Failure]:
        """Those after so many restarts, the first one first."""
        return self._read(f"failure-{restart}-*", _FAILURE.validate_json)

    def end(self, outcome: Outcome) -> None:
        """The run ends for all processes; what is reported first counts."""
        path = self._folder / "outcome"
        if not path.exists():
            self._write(path.name, _OUTCOME.dump_json(outcome))

    def outcome(self) -> Outcome | None:
        """How the run has ended; None where it has not, or processes failed."""
        found = self._read("outcome", _OUTCOME.validate_json)
        return found[0] if found else None

    def _write(self, name: str, content: bytes) -> None:
        """Atomically, but not durably: a machine that stops takes the launcher with it."""
        partial = self._folder / f".{name}-{os.getpid()}"
        partial.write_bytes(content)
        partial.replace(self._folder / name)

    def _read(self, pattern: str, parse: Callable[[bytes], Record]) -> list[Record]:
        paths = sorted(self._folder.glob(pattern), key=lambda path: path.stat().st_mtime_ns)
        return [parse(path.read_bytes()) for path in paths]
