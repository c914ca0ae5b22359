"""Limits of one host: a rate, a number at once, and pauses that it asks for."""

import asyncio

from pipelines.fetch import HostLimits
from pipelines.fetch.host_limits import OwnGate, turn


class Clock:
    """A clock that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_requests_of_one_host_are_spread_by_its_rate() -> None:
    limits = HostLimits(2.0, None, 10.0, Clock())
    assert [limits.ask("a", str(n)).wait_s for n in range(3)] == [0.0, 0.5, 1.0]
    assert limits.ask("b", "x").wait_s == 0.0


def test_a_rate_is_not_made_up_for_after_a_break() -> None:
    clock = Clock()
    limits = HostLimits(2.0, None, 10.0, clock)
    limits.ask("a", "1")
    clock.now = 100.0
    assert [limits.ask("a", str(n)).wait_s for n in range(3)] == [0.0, 0.5, 1.0]


def test_so_many_at_once_and_the_next_when_one_ends_or_is_lost() -> None:
    clock = Clock()
    limits = HostLimits(None, 2, 10.0, clock)
    assert [limits.ask("a", str(n)).may_begin for n in range(3)] == [True, True, False]
    assert limits.ask("b", "x").may_begin
    limits.end("a", "0")
    assert limits.ask("a", "2").may_begin
    assert not limits.ask("a", "3").may_begin
    clock.now = 10.0
    assert limits.ask("a", "3").may_begin


def test_a_pause_holds_all_requests_of_a_host_and_is_never_shortened() -> None:
    clock = Clock()
    limits = HostLimits(None, None, 10.0, clock)
    limits.pause("a", 5.0)
    limits.pause("a", 1.0)
    assert (limits.ask("a", "1").wait_s, limits.ask("a", "1").may_begin) == (5.0, False)
    assert limits.ask("b", "1").may_begin
    clock.now = 5.0
    assert limits.ask("a", "1").may_begin


def test_a_request_that_is_cancelled_frees_its_turn() -> None:
    limits = HostLimits(None, 1, 100.0)

    async def hold() -> None:
        async with turn(OwnGate(limits), "a"):
            await asyncio.sleep(60)

    async def main() -> None:
        task = asyncio.create_task(hold())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not limits.ask("a", "other").may_begin
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert limits.ask("a", "other").may_begin

    asyncio.run(main())
