"""The fork server of this process.

A Python that imports torch, DeepSpeed and open_clip works for seconds before it does anything. A fork
of one that has imported them begins at once, and shares their memory.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from core.code_version import CHECKOUT
from pipelines.cluster.forking import client
from pipelines.cluster.forking.protocol import Import, write

# Device files of GPUs: a fork cannot use one that its parent has opened, as libraries do when imported.
_DEVICE_FILES = ("nvidiactl", "kfd", "dxg")


class _Host:
    """A fork server, which ends when this process does: it reads until the end of a pipe from it."""

    def __init__(self) -> None:
        # Removed at the end of this process.
        self._folder = tempfile.TemporaryDirectory(prefix="animatic-fork-")
        self.socket = str(Path(self._folder.name) / "socket")
        paths = [str(CHECKOUT), *filter(None, [os.environ.get("PYTHONPATH")])]
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            # Bound here: a request while the server still starts waits for it.
            listener.bind(self.socket)
            listener.listen(128)
            self._server = subprocess.Popen(
                [sys.executable, "-P", "-m", "pipelines.cluster.forking.server", str(listener.fileno())],
                env={
                    **os.environ,
                    "PYTHONPATH": os.pathsep.join(paths),
                    # Of DeepSpeed, as it is imported: a machine with a GPU has no fork server.
                    "DS_ACCELERATOR": "cpu",
                    # As Ray sets it for workers before they import anything: torch reads it once.
                    "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"),
                },
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[listener.fileno()],
            )

    @property
    def is_alive(self) -> bool:
        """Whether the server runs."""
        return self._server.poll() is None

    def import_modules(self, modules: Sequence[str], *, urgent: bool) -> None:
        """Have later workers begin with these: all of them, or those that start after they are imported."""
        # Where the server has ended, workers start without it.
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.connect(self.socket)
            write(connection, Import(modules=list(modules), urgent=urgent))


class _Current:
    """The server, and what was asked for before it started."""

    host: _Host | None = None
    asked: tuple[tuple[tuple[str, ...], bool], ...] = ()


def forked_workers() -> str | None:
    """The command that Ray starts workers with in place of Python's (``py_executable``), so that they are
    forks; None on a machine with a GPU, which forks cannot share.

    Starts the server if it does not run.
    """
    if any((Path("/dev") / name).exists() for name in _DEVICE_FILES):
        return None
    if _Current.host is None or not _Current.host.is_alive:
        _Current.host = _Host()
        for modules, urgent in _Current.asked:
            _Current.host.import_modules(modules, urgent=urgent)
    # Without site-packages, which it does not need, it starts in a tenth of the time.
    return shlex.join([sys.executable, "-E", "-S", str(Path(client.__file__)), _Current.host.socket])


def import_for_workers(*modules: str, urgent: bool = True) -> None:
    """Have workers begin with ``modules`` imported, where they are forks. Returns at once.

    A module that imports Ray, at any depth, must not be among them: workers are no forks then.

    Args:
        urgent: whether workers that start from now on wait for these; otherwise they are imported while the
            server has nothing else to do.
    """
    if (modules, urgent) in _Current.asked:
        return
    _Current.asked += ((modules, urgent),)
    if _Current.host is not None:
        _Current.host.import_modules(modules, urgent=urgent)
