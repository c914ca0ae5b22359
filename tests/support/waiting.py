"""Waiting for a moment that other processes bring about."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(
    look: Callable[[], T],
    timeout_s: float = 120,
    ended: Callable[[], str | None] = lambda: None,
    every_s: float = 0.05,
) -> T:
    """What ``look`` returns as soon as that is true.

    Args:
        ended: why that cannot be any more, as where a process has ended; None while it can.

    Raises AssertionError where it has ended, or after the timeout.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        reason = ended()  # before the look, which may find what came last
        if found := look():
            return found
        assert reason is None, reason
        assert time.monotonic() < deadline, f"not within {timeout_s} s"
        time.sleep(every_s)
