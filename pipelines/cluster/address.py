"""The address of a Ray cluster, checked before Ray connects to it.

Ray itself waits for minutes where nothing answers, and handles no signal meanwhile.
"""

import contextlib
import os
import socket

from core.errors import AnimaticError

CONNECT_S = 8.0
_CLIENT = "ray://"
# What an HTTP/2 client sends first (RFC 9113, section 3.4), with an empty SETTINGS frame; a server answers
# with its own. Ray's servers speak gRPC, which is HTTP/2.
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
_FRAME_HEADER, _FRAME_TYPE, _SETTINGS = 9, 3, 4


def check_cluster(address: str, setting: str) -> None:
    """Check that a Ray cluster can be at ``address``: ``auto``, ``host:port`` or ``ray://host:port``.

    Args:
        setting: where the address comes from, as ``--address``; for the message.

    Raises AnimaticError where the address has another form, does not resolve, nothing listens there, or what
    does is not Ray: within seconds, with the cause.
    """
    server = bootstrap_address(address)
    named = f"{server} ({setting})" if address == server else f"{server} ({setting} {address})"
    host, port = _host_and_port(server, named)
    try:
        answer = _first_answer(host, port)
    except socket.gaierror as error:
        cause = f"the name {host} does not resolve ({error.strerror})"
    except ConnectionRefusedError:
        cause = "nothing listens there"
    except TimeoutError:
        cause = f"it did not answer within {CONNECT_S:g} s"
    except OSError as error:
        cause = error.strerror or type(error).__name__
    else:
        if os.environ.get("RAY_USE_TLS", "0") != "0" or _is_settings_frame(answer):
            return
        cause = "the server there is not Ray"
    raise AnimaticError(f"no Ray cluster at {named}: {cause}; {_fix(setting)}")


def bootstrap_address(address: str) -> str:
    """``host:port`` of the cluster that ``auto`` names; any other address as it is.

    Raises AnimaticError where ``auto`` finds no cluster on this machine.
    """
    return _running_here() if address == "auto" else address


def _running_here() -> str:
    """The cluster that ``ray start`` started or joined on this machine."""
    from ray._private.services import canonicalize_bootstrap_address

    found = None
    with contextlib.suppress(ConnectionError, ValueError):
        found = canonicalize_bootstrap_address("auto")
    if found is None:
        raise AnimaticError(
            "no Ray cluster runs on this machine (address auto): run `ray start`, or leave the address out "
            "to use this machine alone"
        )
    return str(found)


def _host_and_port(server: str, named: str) -> tuple[str, int]:
    host, colon, port = server.removeprefix(_CLIENT).rpartition(":")
    if not colon or "/" in host or not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise AnimaticError(
            f"{named} is not the address of a Ray cluster: give auto, HOST:PORT or ray://HOST:PORT"
        )
    return host.strip("[]"), int(port)


def _first_answer(host: str, port: int) -> bytes:
    """The first bytes that the server sends; none where it expects TLS or closes the connection."""
    with contextlib.closing(socket.create_connection((host, port), timeout=CONNECT_S)) as connection:
        if os.environ.get("RAY_USE_TLS", "0") != "0":
            return b""
        connection.sendall(_PREFACE)
        return connection.recv(_FRAME_HEADER, socket.MSG_WAITALL)


def _is_settings_frame(answer: bytes) -> bool:
    return len(answer) == _FRAME_HEADER and answer[_FRAME_TYPE] == _SETTINGS


def _fix(setting: str) -> str:
    without = "unset it" if setting == "RAY_ADDRESS" else "leave it out"
    return f"start the cluster, correct the address, or {without} to use this machine alone"
