"""A call that is repeated in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Repeating:
    """Calls ``act`` every ``every_s`` seconds, until it is stopped.

    An error that ``act`` raises ends the calls, with a traceback: ``act`` itself handles what may pass.
    """

    def __init__(self, act: Callable[[], None], every_s: float, name: str) -> None:
        self._act, self._every_s = act, every_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._repeat, name=name, daemon=True)

    def start(self) -> None:
        """Begin; the first call comes after ``every_s``."""
        self._thread.start()

    def stop(self) -> None:
        """Wait for a call in progress and make no further ones; without effect if not started."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _repeat(self) -> None:
        while not self._stop.wait(self._every_s):
            self._act()
