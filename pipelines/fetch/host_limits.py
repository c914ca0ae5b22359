"""How often and how many at once one host is asked, and pauses that hosts ask for.

State and decisions alone: whoever wants to begin asks, waits as long as the answer says, and reports the end.
The state may be of one worker or, in a Ray actor, of all workers of a job.
"""

import asyncio
import contextlib
import secrets
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

_POLL_S = 0.25  # between two questions where too many requests are in progress


@dataclass(frozen=True)
class Permission:
    """The answer to a question: wait, then begin, or ask again."""

    wait_s: float
    may_begin: bool


@dataclass
class _Host:
    not_before: float = 0.0
    next_turn: float = 0.0
    leases: dict[str, float] = field(default_factory=dict)  # when a request in progress counts as ended


class HostLimits:
    """Requests of one host: ``rate`` a second and ``total`` at once; None: any number.

    A request that does not report its end counts as ended after ``lease_s``: its worker was lost.
    """

    def __init__(
        self,
        rate: float | None,
        total: int | None,
        lease_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rate, self._total, self._lease_s, self._clock = rate, total, lease_s, clock
        self._hosts: defaultdict[str, _Host] = defaultdict(_Host)

    def ask(self, host: str, request: str) -> Permission:
        """Whether a request may begin; its turn is reserved if so."""
        now, state = self._clock(), self._hosts[host]
        if now < state.not_before:
            return Permission(state.not_before - now, False)
        if self._total is not None:
            for lease in [lease for lease, end in state.leases.items() if end <= now]:
                del state.leases[lease]
            if len(state.leases) >= self._total:
                return Permission(_POLL_S, False)
        turn = max(now, state.next_turn)
        if self._rate is not None:
            state.next_turn = turn + 1 / self._rate
        if self._total is not None:
            state.leases[request] = turn + self._lease_s
        return Permission(turn - now, True)

    def end(self, host: str, request: str) -> None:
        """A request has ended."""
        self._hosts[host].leases.pop(request, None)

    def pause(self, host: str, seconds: float) -> None:
        """Let no request to a host begin for so many seconds."""
        state = self._hosts[host]
        state.not_before = max(state.not_before, self._clock() + seconds)


class HostGate(Protocol):
    """The limits as a fetcher asks for them, wherever their state is."""

    def ask(self, host: str, request: str) -> Awaitable[Permission]:
        """See :class:`HostLimits`."""
        ...

    def end(self, host: str, request: str) -> Awaitable[None]:
        """See :class:`HostLimits`."""
        ...

    def pause(self, host: str, seconds: float) -> Awaitable[None]:
        """See :class:`HostLimits`."""
        ...


class OwnGate:
    """Limits of this process alone."""

    def __init__(self, limits: HostLimits) -> None:
        self._limits = limits

    async def ask(self, host: str, request: str) -> Permission:
        """See :class:`HostLimits`."""
        return self._limits.ask(host, request)

    async def end(self, host: str, request: str) -> None:
        """See :class:`HostLimits`."""
        self._limits.end(host, request)

    async def pause(self, host: str, seconds: float) -> None:
        """See :class:`HostLimits`."""
        self._limits.pause(host, seconds)


@contextlib.asynccontextmanager
async def turn(gate: HostGate, host: str) -> AsyncIterator[None]:
    """Wait until a request to a host may begin; it lasts as long as the block."""
    request = secrets.token_hex(8)
    while not (permission := await gate.ask(host, request)).may_begin:
        await asyncio.sleep(permission.wait_s)
    try:
        await asyncio.sleep(permission.wait_s)
        yield
    finally:
        await gate.end(host, request)
