"""How many bodies one process receives at once, so that the memory of all of them is bounded."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from orchestration.serving.schema import ApiError

_RETRY_S = 2.0


class Slots:
    """Counts what is in progress. Nobody waits: a request without one is refused."""

    def __init__(self) -> None:
        self._lock, self._taken = threading.Lock(), 0

    @contextmanager
    def take(self, most: int) -> Iterator[None]:
        """Hold one of ``most`` slots.

        Raises:
            ApiError: ``too_many_uploads``.
        """
        with self._lock:
            if self._taken >= most:
                raise ApiError(
                    "too_many_uploads",
                    f"{most} bodies are being received: send yours again in {_RETRY_S:g} s",
                    retry_after_s=_RETRY_S,
                )
            self._taken += 1
        try:
            yield
        finally:
            with self._lock:
                self._taken -= 1
