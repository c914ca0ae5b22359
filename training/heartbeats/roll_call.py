"""Which process of a run the others wait for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from training.control import Phase
from training.heartbeats.record import End, Frame, Hang, Report
from training.heartbeats.stacks import is_waiting_for_others, place_of
from training.processes.signs_of_life import LONG_S, Seen, beat_interval_s

_STEPS = 3  # without progress for so many times the longest step, processes are stuck
# What is no step, as saving or validation, may take so many times longer before it is worth a look.
_OTHER_WORK = 10
_BEATS = 3  # without so many heartbeats, a process is silent
_NAMED = 3


class State(StrEnum):
    """Of a process, as far as its heartbeat shows."""

    RUNNING = "running"
    STUCK = "stuck"
    SILENT = "silent"
    MISSING = "missing"
    FINISHED = "finished"
    STOPPED = "stopped"
    FAILED = "failed"
    HUNG = "hung"


@dataclass(frozen=True)
class RollCall:
    """The processes of a run that were started last.

    Attributes:
        size: number of processes.
        reports: of those with a heartbeat, in the order of ranks.
        culprits: ranks of those that the others wait for; none where all progress, or have ended.
        cause: what they do, in one line; None without culprits.
    """

    size: int
    reports: tuple[Report, ...]
    culprits: tuple[int, ...] = ()
    cause: str | None = None

    @property
    def missing(self) -> tuple[int, ...]:
        """Ranks without a heartbeat: of processes that have not begun."""
        found = {report.rank for report in self.reports}
        return tuple(rank for rank in range(self.size) if rank not in found)

    @property
    def step(self) -> int:
        """The furthest step that a process has begun."""
        return max((report.heartbeat.beat.step for report in self.reports), default=0)

    @property
    def frames(self) -> tuple[Frame, ...]:
        """Of the first culprit, if it has written its stacks."""
        return next((each.frames for each in self.reports if each.rank in self.culprits), ())

    @property
    def has_hung(self) -> bool:
        """Whether every process that runs has been without progress for longer than it may."""
        running = [report for report in self.reports if report.heartbeat.end is None]
        return bool(running) and all(report.is_stuck for report in running)

    def hang(self, time: float) -> Hang:
        """The record of a hang that ends these processes, now."""
        start = self.reports[0].heartbeat.start
        cause = self.cause or f"all {self.size} processes: no progress"
        return Hang(start, time, self.step, self.culprits, f"hang in step {self.step}: {cause}")


def state_of(report: Report, long_s: float = LONG_S) -> State:
    """Whether a process runs, and if not, what became of it; ``long_s``: as for :func:`call_roll`."""
    if report.heartbeat.end is not None:
        return State(report.heartbeat.end.value)
    if _is_silent(report, long_s):
        return State.SILENT
    return State.STUCK if report.is_stuck or _lasts(report, long_s) else State.RUNNING


def behind(seen: Sequence[Seen]) -> list[Seen]:
    """Those that have progressed least; all where none is behind the others."""
    first = min(each.beat.position for each in seen)
    return [each for each in seen if each.beat.position == first]


def call_roll(reports: Sequence[Report], long_s: float = LONG_S) -> RollCall:
    """Find out which processes the others wait for, from the heartbeats of those that were started last.

    In this order: those that are silent or have failed, those that have not begun, those that are behind the
    others, those that are not inside of a collective operation as the others are, those at another place in
    the code than most.

    Args:
        long_s: least time without progress, or without a heartbeat, that is worth a look.
    """
    if not reports:
        return RollCall(0, ())
    size = reports[0].heartbeat.size
    roll = RollCall(size, tuple(reports))
    named = _culprits(roll, long_s)
    return roll if named is None else RollCall(size, tuple(reports), *named)


def name_ranks(ranks: Sequence[int]) -> str:
    """Some ranks, and how many more there are."""
    more = len(ranks) - _NAMED
    listed = ", ".join(str(rank) for rank in ranks[:_NAMED])
    word = "worker" if len(ranks) == 1 else "workers"
    return f"{word} {listed}" + (f" and {more} more" if more > 0 else "")


def _is_silent(report: Report, long_s: float) -> bool:
    return report.ago_s >= max(long_s, _BEATS * beat_interval_s(report.heartbeat.size))


def _lasts(report: Report, long_s: float) -> bool:
    """Whether what a process does takes long, by what its steps take."""
    beat = report.heartbeat.beat
    least = long_s if beat.phase in (Phase.WAITING_FOR_DATA, Phase.TRAINING) else _OTHER_WORK * long_s
    return report.seen.unchanged_s >= max(least, _STEPS * beat.longest_step_s)


def _culprits(roll: RollCall, long_s: float) -> tuple[tuple[int, ...], str] | None:
    running = [report for report in roll.reports if report.heartbeat.end is None]
    failed = [report for report in roll.reports if report.heartbeat.end is End.FAILED]
    silent = [report for report in running if _is_silent(report, long_s)]
    if running and failed:
        return _ranks(failed), f"{_names(failed)}: failed: {failed[0].heartbeat.message}"
    if silent:
        seconds = max(report.ago_s for report in silent)
        last = silent[0].heartbeat.beat.activity
        return _ranks(silent), f"no sign of life from {_names(silent)} for {seconds:.0f} s, last {last}"
    if not running:
        return None
    seconds = max(report.seen.unchanged_s for report in running)
    if roll.missing and seconds >= long_s:
        return roll.missing, f"{name_ranks(roll.missing)}: not started, the others wait for {seconds:.0f} s"
    return _stuck(running, long_s)


def _stuck(running: Sequence[Report], long_s: float) -> tuple[tuple[int, ...], str] | None:
    """Of processes that all run."""
    last = behind([report.seen for report in running])
    ranks = {each.beat.rank for each in last}
    found = [report for report in running if report.rank in ranks]
    if not all(_lasts(report, long_s) for report in found):
        return None
    others = [report for report in running if report.rank not in ranks]
    if not others:
        found, others = _by_place(running)
    seconds = min(report.seen.unchanged_s for report in found)
    named = _names(found) if others or len(running) == 1 else f"all {len(running)} workers"
    place = place_of(found[0].frames)
    doing = f"{found[0].heartbeat.beat.activity} for {seconds:.0f} s"
    cause = f"{named}: {doing} {place}" if place else f"{named}: {doing}"
    if others:
        cause += f"; the others wait: {others[0].heartbeat.beat.activity}"
    return _ranks(found), cause


def _by_place(running: Sequence[Report]) -> tuple[list[Report], list[Report]]:
    """Those at another place than the others, and the others, where all are in the same part of a step."""
    if len(running) == 1 or not all(report.frames for report in running):
        return list(running), []
    waiting = [report for report in running if is_waiting_for_others(report.frames)]
    found = [report for report in running if report not in waiting]
    if not found:
        # Each is inside of an operation: the same one for most.
        most = Counter(report.frames for report in running).most_common(1)[0]
        waiting = [report for report in running if report.frames == most[0]]
        found = [report for report in running if report not in waiting]
        if most[1] <= len(found):
            return list(running), []
    return (found, waiting) if waiting and found else (list(running), [])


def _ranks(reports: Sequence[Report]) -> tuple[int, ...]:
    return tuple(report.rank for report in reports)


def _names(reports: Sequence[Report]) -> str:
    names = [report.heartbeat.beat.worker for report in reports[:_NAMED]]
    more = len(reports) - len(names)
    return ", ".join(names) + (f" and {more} more" if more else "")
