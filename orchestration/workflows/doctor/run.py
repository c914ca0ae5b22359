"""Examine a run: which of its processes does what, which one the others wait for, and what to do about it.

It works while the run hangs and after it has ended, on any machine that sees the run folder.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from core.errors import AnimaticError
from core.host import host_identity, process_identity
from training.control import Phase
from training.heartbeats import End, HeartbeatFolder, Report, RollCall, State, call_roll, state_of
from training.journal import read_journal
from training.processes.output import worker_log
from training.processes.signs_of_life import LONG_S, beat_interval_s
from training.run_folder import RunFolder

_LOOK_S = 0.2
_BEATS = 3  # of a process, until it has written the stacks that it was asked for
_PROCESS_STATES = {"T": "suspended", "D": "waiting for a disk or a network drive", "Z": "ended"}


@dataclass(frozen=True)
class ProcessReport:
    """A process of a run.

    Attributes:
        seconds: since it is known to have progressed.
        silent_s: since its last heartbeat.
        frames: where it is in the code, the innermost first; none while it progresses.
        stacks: file with the stacks of all its threads, if it has written them.
    """

    rank: int
    state: State
    host: str
    pid: int
    step: int
    doing: str
    seconds: float
    silent_s: float
    frames: list[str]
    stacks: str | None


@dataclass(frozen=True)
class RunReport:
    """What the heartbeats of a run show.

    Attributes:
        size: number of processes.
        missing: ranks of those that have not begun.
        culprits: ranks of those that the others wait for.
        cause: one line on what is wrong; None if nothing is.
        advice: what to do about it.
        flight_records: files with the newest collective operations of processes.
        hangs: messages of the hangs that were ended by a restart.
    """

    run: str
    ok: bool
    size: int
    processes: list[ProcessReport]
    missing: list[int]
    culprits: list[int]
    cause: str | None
    advice: str | None
    flight_records: list[str]
    hangs: list[str]

    @property
    def table(self) -> tuple[list[str], list[list[object]]]:
        """Columns, and a row for each process."""
        rows: list[list[object]] = [
            [
                each.rank,
                each.host,
                each.pid,
                each.state,
                each.doing,
                f"{each.seconds:.0f} s",
                each.frames[0] if each.frames else None,
            ]
            for each in self.processes
        ]
        rows += [[rank, None, None, State.MISSING, None, None, None] for rank in self.missing]
        return ["rank", "host", "pid", "state", "does", "for", "in"], rows


def examine_run(run_dir: Path, long_s: float = LONG_S) -> RunReport:
    """Call the roll of a run's processes.

    Those that are stuck and have not written their stacks are asked for them, which takes some seconds.

    Args:
        long_s: least time without progress that counts.

    Raises:
        AnimaticError: the folder is not that of a run, or none of its processes has written a heartbeat.
    """
    if not run_dir.is_dir():
        raise AnimaticError(f"{run_dir} is not a folder: name the folder of a run, as runs/NAME")
    folder = HeartbeatFolder(run_dir)
    reports = folder.read_all()
    if not reports:
        raise AnimaticError(
            f"{run_dir} has no heartbeats: name the folder of a run that has begun, with this version or a "
            "later one"
        )
    roll = call_roll(reports, long_s)
    if _ask_for_stacks(folder, roll, long_s):
        roll = call_roll(folder.read_all(), long_s)
    return _report(run_dir, folder, roll, long_s)


def _ask_for_stacks(folder: HeartbeatFolder, roll: RollCall, long_s: float) -> bool:
    """Whether processes that are stuck were asked for their stacks, and have answered or had the time to."""
    stuck = [each for each in roll.reports if state_of(each, long_s) is State.STUCK and not each.frames]
    if not stuck:
        return False
    try:
        folder.ask_for_stacks()
    except OSError:
        return False  # as on a file system that is mounted read-only here
    deadline = time.monotonic() + _BEATS * beat_interval_s(roll.size)
    while stuck and time.monotonic() < deadline:
        time.sleep(_LOOK_S)
        now = folder.now()
        read = [folder.read(each.rank, now) for each in stuck]
        stuck = [each for each in read if each is not None and not each.frames]
    return True


def _report(run_dir: Path, folder: HeartbeatFolder, roll: RollCall, long_s: float) -> RunReport:
    culprits, cause, advice = _diagnosis(run_dir, folder, roll)
    entries = read_journal(RunFolder(run_dir).journal, metrics=False)
    return RunReport(
        run=str(run_dir),
        ok=cause is None,
        size=roll.size,
        processes=[_process(each, long_s) for each in roll.reports],
        missing=list(roll.missing),
        culprits=list(culprits),
        cause=cause,
        advice=advice,
        flight_records=[str(path) for path in folder.flight_records()],
        hangs=[str(entry.content.get("message")) for entry in entries if entry.event == "hang"],
    )


def _process(report: Report, long_s: float) -> ProcessReport:
    beat = report.heartbeat.beat
    return ProcessReport(
        rank=report.rank,
        state=state_of(report, long_s),
        host=beat.host,
        pid=beat.pid,
        step=beat.step,
        doing=str(beat.activity),
        seconds=round(report.seen.unchanged_s, 1),
        silent_s=round(report.ago_s, 1),
        frames=[str(frame) for frame in report.frames],
        stacks=report.stacks,
    )


def _diagnosis(
    run_dir: Path, folder: HeartbeatFolder, roll: RollCall
) -> tuple[Sequence[int], str | None, str | None]:
    """Ranks of the processes that are at fault, what is wrong, and what to do."""
    hang = folder.hang()
    if hang is not None and hang.start == roll.reports[0].heartbeat.start:
        resume = "the same command resumes from the newest checkpoint, if its launcher does not"
        found = [each for each in roll.reports if each.rank in hang.ranks]
        advice = _advice_on_stuck(found, worker_log(run_dir, found[0].rank), roll.size) if found else ""
        return hang.ranks, hang.message, "; ".join(filter(None, [advice, resume]))
    if roll.cause is not None:
        return roll.culprits, roll.cause, _advice(run_dir, roll, roll.culprits)
    failed = [each for each in roll.reports if each.heartbeat.end is End.FAILED]
    if failed:
        first = failed[0]
        message = f"{first.heartbeat.beat.worker} failed: {first.heartbeat.message}"
        return [first.rank], message, f"see {worker_log(run_dir, first.rank)}"
    return (), None, None


def _advice(run_dir: Path, roll: RollCall, culprits: Sequence[int]) -> str:
    found = [each for each in roll.reports if each.rank in culprits]
    if not found:
        return "see the launcher's output and logs/ in the run folder for why they were not started"
    first, log = found[0], worker_log(run_dir, found[0].rank)
    if state_of(first) is State.SILENT:
        return f"{_liveness(first)}; its log is {log}"
    if state_of(first) is State.FAILED:
        return f"see {log}"
    return _advice_on_stuck(found, log, roll.size)


def _advice_on_stuck(found: Sequence[Report], log: Path, size: int) -> str:
    first = found[0]
    beat = first.heartbeat.beat
    stacks = f"; all its threads: {first.stacks}" if first.stacks else ""
    if len(found) == size > 1:
        return (
            "all wait for one another: compare the collective operations of the processes, look at the "
            f"network, and set NCCL_DEBUG=INFO{stacks}"
        )
    return f"{_by_phase(beat.phase)}: look at {beat.host}, pid {beat.pid}, and {log}{stacks}"


def _by_phase(phase: Phase) -> str:
    if phase is Phase.WAITING_FOR_DATA:
        return "its data does not arrive: the store, the disk or the decoder"
    if phase is Phase.UPLOADING:
        return "its uploads do not end: the object store, or the network to it"
    if phase is Phase.SAVING_CHECKPOINT:
        return "it does not finish writing: the file system of the run folder"
    if phase in (Phase.LOADING_WEIGHTS, Phase.READING_CHECKPOINT):
        return "it does not finish reading: the file system of the bundles and checkpoints"
    return "its code, its GPU or its network does not go on"


def _liveness(report: Report) -> str:
    """What is known of a process without heartbeats; more on its own machine."""
    beat, process = report.heartbeat.beat, report.heartbeat.process
    if not process.startswith(f"{host_identity()} "):
        return (
            f"{beat.host} is lost, or its process was killed or suspended, or cannot write to the run "
            f"folder: look there with `ps -o stat,etime -p {beat.pid}`"
        )
    try:
        is_alive = process_identity(beat.pid) == process
        letter = Path(f"/proc/{beat.pid}/stat").read_text().rpartition(") ")[2][:1]
    except OSError:
        is_alive, letter = False, ""
    if not is_alive or letter == "Z":
        return f"process {beat.pid} was killed, as when memory runs out; the same command resumes the run"
    state = _PROCESS_STATES.get(letter, "running, but no thread of Python does")
    return f"process {beat.pid} is {state}"
