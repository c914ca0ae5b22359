"""Holds threads up at a certain call until a test lets them pass."""

import threading


class Gate:
    """What threads pass through once it is open.

    Attributes:
        open: set by the test.
        reached: set by the first thread.
        error: raised in threads that pass, where a test sets one.
        threads: names of those that came here.
    """

    def __init__(self) -> None:
        self.open, self.reached = threading.Event(), threading.Event()
        self.error: Exception | None = None
        self.threads: list[str] = []

    def pass_through(self) -> None:
        """In a thread: wait until the gate is open."""
        self.threads.append(threading.current_thread().name)
        self.reached.set()
        assert self.open.wait(60)
        if self.error is not None:
            raise self.error
