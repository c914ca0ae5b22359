"""How often work is attempted, after which pauses, and what ends the attempts."""

import asyncio
from collections.abc import Callable

import pytest

from core.retry import RetryableError, RetryPolicy


class Failing:
    """Work that raises these errors, one at a call, and succeeds afterwards."""

    def __init__(self, *errors: Exception) -> None:
        self.errors, self.calls = list(errors), 0

    def __call__(self) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"


Call = Callable[[RetryPolicy, Failing], str]


def call(policy: RetryPolicy, work: Failing) -> str:
    return policy.call(work)


def call_async(policy: RetryPolicy, work: Failing) -> str:
    async def attempt() -> str:
        return work()

    return asyncio.run(policy.call_async(attempt))


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds of every pause, which are not waited for."""
    waited: list[float] = []
    monkeypatch.setattr("tenacity.nap.time.sleep", waited.append)

    async def pause(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr("asyncio.sleep", pause)
    return waited


@pytest.mark.parametrize("attempt", [call, call_async])
def test_pauses_double_until_an_attempt_succeeds(attempt: Call, pauses: list[float]) -> None:
    work = Failing(*(RetryableError("busy") for _ in range(3)))
    assert attempt(RetryPolicy(5, 0.5), work) == "done"
    assert (work.calls, pauses) == (4, [0.5, 1.0, 2.0])


@pytest.mark.parametrize("attempt", [call, call_async])
def test_the_error_of_the_last_attempt_is_raised(attempt: Call, pauses: list[float]) -> None:
    work = Failing(RetryableError("first"), RetryableError("second"), RetryableError("third"))
    with pytest.raises(RetryableError, match="second"):
        attempt(RetryPolicy(2, 1.0), work)
    assert (work.calls, pauses) == (2, [1.0])


@pytest.mark.parametrize("attempt", [call, call_async])
def test_other_errors_end_the_attempts(attempt: Call, pauses: list[float]) -> None:
    policy = RetryPolicy(3, 1.0, on=(OSError,), final=(FileNotFoundError,))
    for error, calls in ((ValueError(), 1), (FileNotFoundError(), 1), (ConnectionError(), 2)):
        work = Failing(error)
        if calls == 1:
            with pytest.raises(type(error)):
                attempt(policy, work)
        else:
            assert attempt(policy, work) == "done"
        assert work.calls == calls
    assert pauses == [1.0]


def test_a_pause_that_the_other_side_asks_for_is_the_least(pauses: list[float]) -> None:
    work = Failing(RetryableError("busy", pause_s=7.0), RetryableError("busy", pause_s=1.0))
    assert RetryPolicy(3, 2.0).call(work) == "done"
    assert pauses == [7.0, 4.0]


def test_jitter_adds_up_to_as_much_again(pauses: list[float]) -> None:
    for _ in range(20):
        RetryPolicy(2, 1.0, jitter=True).call(Failing(RetryableError("busy")))
    assert all(1.0 <= pause < 2.0 for pause in pauses)
    assert len(set(pauses)) > 1
