"""Run by Ray in place of Python: has the fork server start the worker, and ends.

Run as a file, without site-packages. Standard library only.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from pathlib import Path


def main() -> None:
    """``client.py SOCKET SCRIPT ARGUMENT...``. Becomes an ordinary Python with the script where the server
    does not answer."""
    # Its folder, first among the paths, is that of this file.
    from protocol import Fork, write  # type: ignore[import-not-found]

    address, arguments = sys.argv[1], sys.argv[2:]
    umask = os.umask(0)
    os.umask(umask)
    request = Fork(
        arguments=arguments,
        environment=dict(os.environ),
        folder=str(Path.cwd()),
        umask=umask,
        blocked=[int(each) for each in signal.pthread_sigmask(signal.SIG_BLOCK, ())],
        oom_score=int(Path("/proc/self/oom_score_adj").read_text()),
    )
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.connect(address)
            write(connection, request)
            started = connection.recv(1)
    except OSError:
        started = b""
    if not started:
        print("the fork server does not answer: this worker imports everything itself", file=sys.stderr)
        os.execv(sys.executable, [sys.executable, *arguments])


if __name__ == "__main__":
    main()
