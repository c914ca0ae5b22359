"""A port for a server that another process starts."""

import random
import socket

# Below the ports that systems give to connections (Linux from 32768, others from 49152): one of these would
# otherwise be taken by any connection that is opened before the server listens.
_PORTS = range(20_000, 32_000)


def free_port() -> int:
    """A port of this machine at which nothing listens."""
    while True:
        port = random.SystemRandom().choice(_PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
