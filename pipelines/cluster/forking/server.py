"""The fork server: imports what it is asked to, and forks processes that begin with it.

``python -m pipelines.cluster.forking.server LISTENER``. Only its main thread runs code, so that forks are
safe. It ends when its standard input does: with the process that started it, however that ends.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import runpy
import selectors
import shutil
import signal
import socket
import sys
from collections import deque
from pathlib import Path

from pipelines.cluster.forking.protocol import STANDARD_STREAMS, Fork, read

# Once it is imported, its library has drawn the seed of the numbers by which it names tasks: forks would give
# different tasks the same name.
_NOT_SHARED = "ray"


class Server:
    """Answers requests from ``listener``."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._urgent: deque[str] = deque()
        self._others: deque[str] = deque()

    def serve(self) -> tuple[Fork, list[int]] | None:
        """Until standard input ends. In each fork: returns its request and standard streams."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            selector.register(sys.stdin, selectors.EVENT_READ)
            while True:
                ready = [key.fileobj for key, _ in selector.select(0 if self._others else None)]
                if sys.stdin in ready:
                    return None
                if not ready:
                    self._import(self._others, 1)
                    continue
                connection, _ = self._listener.accept()
                with connection:
                    forked = self._answer(connection)
                if forked is not None:
                    return forked

    def _answer(self, connection: socket.socket) -> tuple[Fork, list[int]] | None:
        """Do what is asked. In a fork: its request and standard streams."""
        try:
            request, streams = read(connection)
        except (OSError, ValueError):
            return None  # its sender was killed meanwhile
        try:
            if "modules" in request:
                (self._urgent if request["urgent"] else self._others).extend(request["modules"])
                self._import(self._urgent, len(self._urgent))
                return None
            if _NOT_SHARED in sys.modules:
                return None
            gc.freeze()  # its memory is shared as long as nothing counts references in it
            if os.fork() == 0:
                kept, streams = streams, []
                return request, kept
            with contextlib.suppress(OSError):
                connection.sendall(b"\0")
            return None
        finally:
            for stream in streams:
                os.close(stream)

    def _import(self, modules: deque[str], count: int) -> None:
        """Import the first ``count`` modules of a queue."""
        for _ in range(count):
            # The worker that needs it reports what is wrong with it.
            with contextlib.suppress(ImportError):
                importlib.import_module(modules.popleft())


def become(request: Fork, streams: list[int]) -> None:
    """Take over streams, environment and signals that the process should have had from the start."""
    for stream, number in zip(streams, STANDARD_STREAMS, strict=True):
        os.dup2(stream, number)
        os.close(stream)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    os.umask(request["umask"])
    with contextlib.suppress(OSError):  # a lower one than that of the server needs a privilege
        Path("/proc/self/oom_score_adj").write_text(str(request["oom_score"]))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, request["blocked"])
    # Python's own random numbers differ in each fork by themselves.
    if (numpy := sys.modules.get("numpy")) is not None:
        numpy.random.seed()
    sys.argv[:] = request["arguments"]


def main() -> None:
    """Serve; in each fork, run its script to the end of the process."""
    # A terminal's Ctrl-C is for the process that started this one. Forks that ended leave no trace.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(fileno=int(sys.argv[1])) as listener:
        address = Path(listener.getsockname())
        forked = Server(listener).serve()
    if forked is None:
        # The process that made the folder may have been killed.
        shutil.rmtree(address.parent, ignore_errors=True)
        return
    become(*forked)
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
