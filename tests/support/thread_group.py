"""Processes of a run as threads of this process: what one does while another waits can be arranged."""

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from core.errors import AnimaticError
from training.processes.group import ProcessGroup

Value = TypeVar("Value")
TIMEOUT_S = 60.0


@dataclass
class Shared:
    """What the threads of a group share: how often each has waited for the others, and which have ended."""

    meeting: threading.Barrier
    values: dict[int, Any] = field(default_factory=dict)
    waits: Counter[int] = field(default_factory=Counter)
    ended: set[int] = field(default_factory=set)
    changed: threading.Condition = field(default_factory=threading.Condition)


@dataclass(frozen=True)
class ThreadGroup(ProcessGroup):
    """One thread among ``size``."""

    shared: Shared = field(default_factory=lambda: Shared(threading.Barrier(1)))

    def barrier(self) -> None:
        self._wait()

    def gathered(self, value: Value) -> list[Value]:
        self.shared.values[self.rank] = value
        self._wait()
        found = [self.shared.values[rank] for rank in range(self.size)]
        self._wait()  # before any puts the next value
        return found

    def from_first(self, value: Value) -> Value:
        return self.gathered(value)[0]

    def largest_later(self, value: int) -> Callable[[], int]:
        largest = max(self.gathered(value))
        return lambda: largest

    def _failures(self, error: Exception | None) -> list[tuple[str, bool] | None]:
        own = None if error is None else (str(error), isinstance(error, AnimaticError))
        return self.gathered(own)

    def apart(self) -> "ThreadGroup":
        return replace(self, shared=self.from_first(Shared(threading.Barrier(self.size))))

    def until_others_wait(self) -> None:
        """Let the others come as far as they can without this one. Raises AssertionError if they do not."""
        shared, others = self.shared, set(range(self.size)) - {self.rank}

        def waiting() -> bool:
            return all(
                rank in shared.ended or shared.waits[rank] > shared.waits[self.rank] for rank in others
            )

        with shared.changed:
            assert shared.changed.wait_for(waiting, TIMEOUT_S)

    def end(self) -> None:
        """This thread comes to no further meeting."""
        with self.shared.changed:
            self.shared.ended.add(self.rank)
            self.shared.changed.notify_all()

    def _wait(self) -> None:
        with self.shared.changed:
            self.shared.waits[self.rank] += 1
            self.shared.changed.notify_all()
        self.shared.meeting.wait(TIMEOUT_S)


def run_as_threads(size: int, work: Callable[[ThreadGroup], Value]) -> list[Value]:
    """What ``work`` returns in each rank; what it raises in one of them, if it does."""
    shared = Shared(threading.Barrier(size))

    def run(rank: int) -> Value:
        group = ThreadGroup(rank, size, rank, shared=shared)
        try:
            return work(group)
        except BaseException:
            shared.meeting.abort()  # the others must not wait for this one
            raise
        finally:
            group.end()

    with ThreadPoolExecutor(size) as pool:
        running = [pool.submit(run, rank) for rank in range(size)]
        errors = [error for future in running if (error := future.exception()) is not None]
    for error in errors:
        if not isinstance(error, threading.BrokenBarrierError):
            raise error
    return [future.result() for future in running]
