"""What the API needs of the rooms beside it: keys, and requests that were read safely."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from fastapi import Request

from orchestration.serving.schema import VideoRequest
from orchestration.serving.settings import LimitSettings


class Caller(Protocol):
    """Who asks: the name of an API key, whether it is one of an administrator, and the key's own rate."""

    @property
    def name(self) -> str: ...

    @property
    def admin(self) -> bool: ...

    @property
    def requests_per_minute(self) -> int | None: ...


class Access(Protocol):
    """The API keys."""

    @property
    def required(self) -> bool:
        """Whether requests need a key."""
        ...

    def authenticate(self, headers: Mapping[str, str]) -> Caller:
        """Raises ApiError ``missing_key`` or ``invalid_key``."""
        ...


class Picture(Protocol):
    """A picture as it came, known to be a whole one within the limits."""

    @property
    def content(self) -> bytes: ...

    @property
    def width(self) -> int: ...

    @property
    def height(self) -> int: ...


class Received(Protocol):
    """A request that was read. ``digest`` is that of everything in it, to compare repeated requests."""

    @property
    def fields(self) -> VideoRequest: ...

    @property
    def first(self) -> Picture: ...

    @property
    def last(self) -> Picture | None: ...

    @property
    def digest(self) -> str: ...


# Raises ApiError for whatever is wrong with a body.
ReadSubmission = Callable[[Request, LimitSettings], Awaitable[Received]]
