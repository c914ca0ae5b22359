"""What a fork server receives: a byte with descriptors, then JSON to the end of the connection."""

from __future__ import annotations

import json
import socket
from typing import TypedDict, final

STANDARD_STREAMS = (0, 1, 2)
_TIMEOUT_S = 30.0  # for the sender, which is on the same machine, to send all of it


@final
class Import(TypedDict):
    """A request to import modules for later forks.

    Attributes:
        urgent: whether before any later request, or when there is none.
    """

    modules: list[str]
    urgent: bool


@final
class Fork(TypedDict):
    """A request to fork a process.

    Attributes:
        arguments: a script and its arguments.
        environment: all variables of the process.
        folder: its working folder.
        umask: of files that it creates.
        blocked: numbers of the signals that it blocks.
        oom_score: by which the kernel chooses what it ends when memory runs out, from -1000 to 1000.
    """

    arguments: list[str]
    environment: dict[str, str]
    folder: str
    umask: int
    blocked: list[int]
    oom_score: int


def write(connection: socket.socket, request: Import | Fork) -> None:
    """Send a request, with the standard streams of this process, and end the connection's sending half."""
    socket.send_fds(connection, [b"\0"], STANDARD_STREAMS)
    connection.sendall(json.dumps(request).encode())
    connection.shutdown(socket.SHUT_WR)


def read(connection: socket.socket) -> tuple[Import | Fork, list[int]]:
    """A request, and the descriptors of its sender's standard streams. Raises OSError, ValueError."""
    connection.settimeout(_TIMEOUT_S)
    _, streams, _, _ = socket.recv_fds(connection, 1, len(STANDARD_STREAMS))
    parts = []
    while part := connection.recv(1 << 16):
        parts.append(part)
    return json.loads(b"".join(parts)), streams
