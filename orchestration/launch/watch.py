"""Reports what a run waits for: a worker that has stalled, processors that are not free, a lost node."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from core.repeating import Repeating
from orchestration.launch.resources import Wanted
from training.control import Phase
from training.heartbeats import behind
from training.processes.signs_of_life import LONG_S, Beat, Seen, Sign

if TYPE_CHECKING:
    from ray.actor import ActorHandle

WATCH_S = 5.0
# After so long without progress, or several times the longest step if that is longer, a run has stalled.
PATIENCE_S = LONG_S
STEPS_OF_PATIENCE = 3
_NAMED = 3


# Gets the newest sign of life of each worker, by rank and host, and for how many seconds the run has waited:
# 0 while it progresses.
OnLook = Callable[[Mapping[tuple[int, str], Sign], float], None]


@dataclass(frozen=True)
class Wait:
    """What a run waits for: the message, what identifies it while its seconds change, and these."""

    message: str
    key: str
    seconds: float


class LongWaits:
    """Reports a wait that is long, and again when it has doubled."""

    def __init__(self, report: Callable[[str], None]) -> None:
        self._report = report
        self._reported: Wait | None = None

    def see(self, wait: Wait | None) -> None:
        """What the run waits for now; None while it progresses."""
        last = self._reported
        if wait is None:
            self._reported = None
            return
        least = 2 * last.seconds if last is not None and last.key == wait.key else PATIENCE_S
        if wait.seconds >= least:
            self._reported = wait
            self._report(wait.message)


class Watch:
    """While entered, looks at the board of a run, and reports what it waits for, again when the wait has
    doubled.

    Attributes:
        seen: the newest beats; empty before the workers have started.
        given_up: why the run should end, where workers did not start within the limit; None otherwise.
    """

    def __init__(
        self,
        board: ActorHandle[Any],
        wanted: Wanted,
        limit_s: float,
        report: Callable[[str], None],
        on_look: OnLook | None = None,
    ) -> None:
        """``limit_s``: for workers to start; ``report`` and ``on_look`` are called in a thread."""
        self._board, self._wanted, self._limit_s, self._report = board, wanted, limit_s, report
        self._on_look = on_look
        self._lost: set[str] = set()
        self.seen: Sequence[Seen] = ()
        self.given_up: str | None = None
        self._alive = time.monotonic()  # when a worker was last known to run
        self._waits = LongWaits(report)
        self._repeating = Repeating(self._look, WATCH_S, "watch of the workers")

    def __enter__(self) -> Self:
        self._alive = time.monotonic()
        self._repeating.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Look no more: without a connection, asking the board would start another Ray."""
        self._repeating.stop()

    def is_training(self) -> bool:
        """Whether a worker has begun its steps, so that stopping without a checkpoint would lose some."""
        self._look()
        running = (each.beat.phase for each in self.seen if each.ago_s < PATIENCE_S)
        return any(phase > Phase.READING_CHECKPOINT for phase in running)

    def _look(self) -> None:
        import ray
        from ray.exceptions import GetTimeoutError, RayError

        try:
            self.seen = ray.get(self._board.seen.remote(), timeout=WATCH_S)
            self._report_lost_nodes()
            found = self._wait()
        except (GetTimeoutError, RayError):
            return  # as where Ray ends; what it does to the run is reported by the run
        if self._on_look is not None:
            self._on_look(signs(self.seen), 0.0 if found is None else found.seconds)
        self._waits.see(found)

    def _report_lost_nodes(self) -> None:
        """Report each node that was lost with workers, once; Ray notices it before they are replaced."""
        import ray

        silent = [
            each.beat for each in self.seen if each.ago_s >= WATCH_S and each.beat.node not in self._lost
        ]
        if not silent:
            return
        for node in ray.nodes():
            workers = [beat for beat in silent if beat.node == node["NodeID"]]
            if workers and not node["Alive"]:
                self._lost.add(node["NodeID"])
                logs = ", ".join(f"logs/rank-{beat.rank}.log" for beat in workers[:_NAMED])
                self._report(
                    f"node {node['NodeManagerAddress']} was lost, with {_names(workers)}, see {logs}: the "
                    f"workers resume from the newest checkpoint {self._wanted.resuming()}, within "
                    f"{self._limit_s:.0f} s (launch.wait_s)"
                )

    def _wait(self) -> Wait | None:
        now = time.monotonic()
        if any(each.ago_s < PATIENCE_S for each in self.seen):
            self._alive = now
            return stalled(self.seen)
        waited = now - self._alive
        if waited > self._limit_s:
            self.given_up = self._wanted.given_up(waited)
        return Wait(f"{self._wanted.waiting()}, for {waited:.0f} s", "start", waited)


def signs(seen: Sequence[Seen]) -> dict[tuple[int, str], Sign]:
    """The newest sign of life of each worker, by rank and host."""
    return {(each.beat.rank, each.beat.host): Sign(each.ago_s, each.beat.step) for each in seen}


def stalled(seen: Sequence[Seen]) -> Wait | None:
    """What the workers of a run wait for; None while they progress.

    Named are those of which nothing is heard, otherwise those that are behind the others.
    """
    silent = [each for each in seen if each.ago_s >= PATIENCE_S]
    if silent:
        seconds = max(each.ago_s for each in silent)
        last = silent[0].beat.activity
        beats = [each.beat for each in silent]
        return Wait(
            f"no sign of life from {_names(beats)} for {seconds:.0f} s, last {last}", _key(silent), seconds
        )
    slowest = behind(seen)
    seconds = min(each.unchanged_s for each in slowest)
    longest = max(each.beat.longest_step_s for each in seen)
    if seconds < max(PATIENCE_S, STEPS_OF_PATIENCE * longest):
        return None
    others = [each.beat.activity for each in seen if each not in slowest]
    named = (
        _names([each.beat for each in slowest]) if others or len(seen) == 1 else f"all {len(seen)} workers"
    )
    message = f"{named}: {slowest[0].beat.activity} for {seconds:.0f} s"
    if others:
        message += f"; the others wait: {others[0]}"
    return Wait(message, _key(slowest), seconds)


def _key(workers: Sequence[Seen]) -> str:
    return f"{[each.beat.rank for each in workers]} {workers[0].beat.activity}"


def _names(workers: Sequence[Beat]) -> str:
    names = [beat.worker for beat in workers[:_NAMED]]
    more = len(workers) - len(names)
    return ", ".join(names) + (f" and {more} more" if more else "")
