"""The heartbeats in a run folder: a record and a file of stacks for each process, on any machine.

All ages are by the clock of the file system, which the machines that share it have in common.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

from pydantic import ValidationError

from core.files import create_file
from core.host import host_identity
from training.heartbeats.record import HANG, HEARTBEAT, Hang, Heartbeat, Report
from training.heartbeats.stacks import read_frames
from training.run_folder import RunFolder

_REQUEST, _HANG = "stacks-wanted", "hang.json"


class HeartbeatFolder:
    """Written by every process of a run, and read by its launcher and by `animatic doctor`."""

    def __init__(self, run_dir: Path) -> None:
        """The folder need not exist."""
        self.run_dir, self._folder = run_dir, RunFolder(run_dir).heartbeats

    @property
    def path(self) -> Path:
        """Inside of the run folder."""
        return self._folder

    @property
    def exists(self) -> bool:
        """Whether a process has written here."""
        return self._folder.is_dir()

    def record(self, rank: int) -> Path:
        """The file with a process's heartbeat."""
        return self._folder / f"rank-{rank}.json"

    def stacks(self, rank: int) -> Path:
        """The file with the stacks of a process that has not progressed, or was asked for them."""
        return self._folder / f"rank-{rank}.stacks"

    def frozen(self, rank: int) -> Path:
        """The file with the stacks of a process that no thread of Python runs in; empty before."""
        return self._folder / f"rank-{rank}.frozen"

    def flight_records(self) -> list[Path]:
        """What torch has recorded of the newest collective operations, where it was written."""
        return sorted(self._folder.glob("collectives-*"))

    def flight_record(self, rank: int | str) -> Path:
        """The file with the newest collective operations of a process."""
        return self._folder / f"collectives-{rank}"

    def write(self, heartbeat: Heartbeat) -> None:
        """Replace a process's heartbeat, atomically but not durably. Raises OSError."""
        path = self.record(heartbeat.beat.rank)
        partial = path.with_name(f".{path.name}~")
        partial.write_bytes(HEARTBEAT.dump_json(heartbeat))
        partial.replace(path)

    def create(self) -> None:
        """Create the folder. Raises OSError."""
        self._folder.mkdir(parents=True, exist_ok=True)

    def now(self) -> float:
        """The time of the file system; of this machine, where the folder cannot be written to."""
        probe = self._folder / f".now-{host_identity()}-{os.getpid()}"
        try:
            probe.touch()
            return probe.stat().st_mtime
        except OSError:
            return time.time()
        finally:
            with contextlib.suppress(OSError):
                probe.unlink()

    def read(self, rank: int, now: float) -> Report | None:
        """The heartbeat of a process; None where it has none that can be read."""
        path = self.record(rank)
        try:
            written = path.stat().st_mtime
            heartbeat = HEARTBEAT.validate_json(path.read_bytes())
        except (OSError, ValidationError):
            return None
        report = Report(heartbeat, max(0.0, now - written))
        return self._with_stacks(report, now)

    def read_all(self) -> list[Report]:
        """The heartbeats of the processes that were started last, in the order of ranks."""
        now = self.now()
        ranks = [int(text) for path in self._folder.glob("rank-*.json") if (text := _rank(path)).isdecimal()]
        reports = [report for rank in sorted(ranks) if (report := self.read(rank, now)) is not None]
        if not reports:
            return []
        newest = max(reports, key=lambda report: report.heartbeat.began).heartbeat.start
        return [report for report in reports if report.heartbeat.start == newest]

    def of_launch(self, launch: int) -> list[Report]:
        """The heartbeats of the processes that a launch has started last."""
        return [each for each in self.read_all() if each.heartbeat.start.startswith(f"{launch} ")]

    def forget_from(self, rank: int) -> None:
        """Delete what processes of this rank and higher ones have left, of a larger run before."""
        for path in self._folder.glob("rank-*.*"):
            if _rank(path).isdecimal() and int(_rank(path)) >= rank:
                path.unlink(missing_ok=True)

    def ask_for_stacks(self) -> None:
        """Have every process write its stacks soon. Raises OSError where the folder cannot be written to."""
        (self._folder / _REQUEST).touch()

    def asked_at(self) -> float | None:
        """When stacks were last asked for, by the clock of the file system."""
        try:
            return (self._folder / _REQUEST).stat().st_mtime
        except OSError:
            return None

    def write_hang(self, hang: Hang) -> bool:
        """Record what hangs; False where another process of this start has. Raises OSError."""
        before = self.hang()
        if before is not None and before.start != hang.start:
            self.forget_hang()
        try:
            create_file(self._folder / _HANG, HANG.dump_json(hang))
        except FileExistsError:
            return False
        return True

    def hang(self) -> Hang | None:
        """The hang that ended the processes last, if one did and none were started since."""
        try:
            return HANG.validate_json((self._folder / _HANG).read_bytes())
        except (OSError, ValidationError):
            return None

    def forget_hang(self) -> None:
        """Delete the record of a hang, once the journal has it."""
        (self._folder / _HANG).unlink(missing_ok=True)

    def _with_stacks(self, report: Report, now: float) -> Report:
        """With the frames of a process, where its stacks are of what it does now."""
        began = now - report.seen.unchanged_s
        for path in (self.frozen(report.rank), self.stacks(report.rank)):
            try:
                status = path.stat()
            except OSError:
                continue
            # A second for clocks that the file system rounds.
            if status.st_size and status.st_mtime >= began - 1:
                frames = read_frames(path, report.heartbeat.thread)
                return Report(report.heartbeat, report.ago_s, frames, str(path))
        return report


def _rank(path: Path) -> str:
    return path.name.removeprefix("rank-").partition(".")[0]
