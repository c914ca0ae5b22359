"""Work of a process in a thread beside training: one piece at a time, whose result the main thread takes."""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Background(Generic[Value]):
    """Runs one piece of work after another, each in a thread of its own.

    The threads do not keep the process from ending.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._thread: threading.Thread | None = None
        self._value: Value | None = None
        self._error: Exception | None = None

    @property
    def busy(self) -> bool:
        """Whether work was started whose result was not taken."""
        return self._thread is not None

    @property
    def finished(self) -> bool:
        """Whether the work is done, and :meth:`take` does not wait."""
        return self._thread is not None and not self._thread.is_alive()

    def start(self, work: Callable[[], Value]) -> None:
        """Begin work. Raises RuntimeError where the result of the work before was not taken."""
        if self._thread is not None:
            raise RuntimeError(f"{self._name}: the work before is not finished")

        def run() -> None:
            try:
                self._value = work()
            except Exception as error:  # noqa: BLE001  of whatever kind: raised in the main thread, by take
                self._error = error

        self._value = self._error = None
        self._thread = threading.Thread(target=run, name=self._name, daemon=True)
        self._thread.start()

    def wait(self, timeout_s: float) -> bool:
        """Wait until the work is done, at most so long; whether it is, or there is none."""
        if self._thread is not None:
            self._thread.join(timeout_s)
        return self._thread is None or not self._thread.is_alive()

    def take(self) -> Value:
        """Wait for the result, or raise the error that the work has raised."""
        if self._thread is None:
            raise RuntimeError(f"{self._name}: no work was started")
        self._thread.join()
        self._thread = None
        error, value = self._error, self._value
        self._error = self._value = None
        if error is not None:
            raise error
        return value  # type: ignore[return-value]  # set where there was no error
