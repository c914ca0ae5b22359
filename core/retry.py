"""Repeated attempts at work that fails for a while, as downloads do, with pauses that double."""

import math
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

import tenacity

T = TypeVar("T")


class RetryableError(Exception):
    """A failure that another attempt may not meet, and the least pause before it in seconds."""

    def __init__(self, message: str, *, pause_s: float = 0.0) -> None:
        super().__init__(message)
        self.pause_s = pause_s


@dataclass(frozen=True)
class RetryPolicy:
    """How often work is attempted, how long the pauses are, and which errors are retried.

    Attributes:
        attempts: how many in all; None where ``patience_s`` decides.
        pause_s: before the second attempt, in seconds; doubles with every further one.
        most_pause_s: the longest pause without jitter, in seconds.
        patience_s: no further attempt once the pauses add up to so many seconds.
        jitter: whether up to as much again is added at random, so that many clients do not return together.
        on: what is retried; any other error ends the attempts at once.
        final: of these, what is not retried all the same.
    """

    attempts: int | None
    pause_s: float
    jitter: bool = False
    on: tuple[type[Exception], ...] = (RetryableError,)
    final: tuple[type[Exception], ...] = ()
    most_pause_s: float = math.inf
    patience_s: float = math.inf

    def call(self, work: Callable[[], T]) -> T:
        """The result of the first attempt that succeeds. Raises the error of the last one."""
        retrying = tenacity.Retrying(
            stop=self._ends,
            wait=self._pause,
            retry=tenacity.retry_if_exception(self._is_retried),
            reraise=True,
        )
        return retrying(work)

    async def call_async(self, work: Callable[[], Awaitable[T]]) -> T:
        """As ``call``, for work that is awaited."""

        # tenacity awaits only what is declared as a coroutine function: a lambda that returns one is not.
        async def attempt() -> T:
            return await work()

        retrying = tenacity.AsyncRetrying(
            stop=self._ends,
            wait=self._pause,
            retry=tenacity.retry_if_exception(self._is_retried),
            reraise=True,
        )
        return await retrying(attempt)

    def _is_retried(self, error: BaseException) -> bool:
        return isinstance(error, self.on) and not isinstance(error, self.final)

    def _ends(self, state: tenacity.RetryCallState) -> bool:
        spent = self.attempts is not None and state.attempt_number >= self.attempts
        return spent or state.idle_for >= self.patience_s

    def _pause(self, state: tenacity.RetryCallState) -> float:
        # The exponent is bounded: the power of a long series is no float.
        pause = min(self.pause_s * 2 ** min(state.attempt_number - 1, 60), self.most_pause_s)
        if self.jitter:
            pause *= 1 + random.random()
        error = state.outcome.exception() if state.outcome is not None else None
        return max(pause, error.pause_s) if isinstance(error, RetryableError) else pause
