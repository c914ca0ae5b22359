"""A time limit for calls that have none of their own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


def within(limit_s: float, call: Callable[[], T]) -> T:
    """What ``call`` returns or raises, in a thread of its own, which is left to itself after the limit.

    The timeouts of sockets are no limit: they begin again with every byte, and resolvers have none.

    Raises:
        TimeoutError: it has not ended after ``limit_s`` seconds.
    """
    answer: Future[T] = Future()

    def run() -> None:
        try:
            answer.set_result(call())
        except Exception as error:  # noqa: BLE001  raised again in the caller
            answer.set_exception(error)

    threading.Thread(target=run, name="call with a deadline", daemon=True).start()
    try:
        return answer.result(limit_s)
    except TimeoutError as error:
        if answer.done():  # its own
            raise
        raise TimeoutError(f"no answer within {limit_s:g} s") from error
