"""The address of a Ray cluster, checked before Ray connects to it.

Ray itself waits for minutes where nothing answers, and handles no signal meanwhile.
"""

import contextlib
import os
import socket
from functools import partial

import grpc

from core.deadline import within
from core.errors import AnimaticError

CONNECT_S = 8.0
_CLIENT = "ray://"
# What an HTTP/2 client sends first (RFC 9113, section 3.4), with an empty SETTINGS frame; a server answers
# with its own. Ray's servers speak gRPC, which is HTTP/2.
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
_FRAME_HEADER, _FRAME_TYPE, _SETTINGS = 9, 3, 4
# The service of gRPC that reports whether a server works; a cluster has it, with authentication too.
_HEALTH = "/grpc.health.v1.Health/Check"


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
        if _is_ray(host, port, is_client=server.startswith(_CLIENT)):
            return
        cause = "the server there is not Ray"
    except (socket.gaierror, UnicodeError) as error:
        cause = f"the name {host} does not resolve ({getattr(error, 'strerror', None) or error})"
    except ConnectionRefusedError:
        cause = "nothing listens there"
    except TimeoutError:
        cause = f"it did not answer within {CONNECT_S:g} s"
    except OSError as error:
        cause = error.strerror or type(error).__name__
    raise AnimaticError(f"no Ray cluster at {named}: {cause}; {_fix(setting)}")


def bootstrap_address(address: str) -> str:
    """``host:port`` of the cluster that ``auto`` names; any other address as it is.

    Raises AnimaticError where ``auto`` finds no cluster on this machine.
    """
    return _running_here() if address == "auto" else address


def check_token(address: str, setting: str) -> None:
    """Check that the Ray cluster at ``address`` accepts the token of this process, if it needs one.

    Ray itself tries for half a minute. Raises AnimaticError where it does not; other errors are left to Ray.
    """
    from ray._raylet import GcsClient  # type: ignore[attr-defined]
    from ray.exceptions import AuthenticationError, RaySystemError, RpcError

    if address.startswith(_CLIENT):
        return
    try:
        GcsClient(address=bootstrap_address(address))
    except AuthenticationError as error:
        raise AnimaticError(token_refused(f"{address} ({setting})")) from error
    except (RpcError, RaySystemError):
        return


def token_refused(named: str) -> str:
    """The message where a cluster refuses the token of this process, or gets none."""
    return (
        f"the Ray cluster at {named} refuses this process: set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN (or "
        "RAY_AUTH_TOKEN_PATH, a file) to its token"
    )


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


def _is_ray(host: str, port: int, *, is_client: bool) -> bool:
    """Whether the server answers as Ray does; with TLS, whether it accepts connections."""
    # Resolvers can take longer than a socket's timeout, as can a name with several addresses.
    answer = within(CONNECT_S, partial(_first_answer, host, port))
    if os.environ.get("RAY_USE_TLS", "0") != "0":
        return True
    return _is_settings_frame(answer) and (
        is_client or _is_healthy(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
    )


def _first_answer(host: str, port: int) -> bytes:
    """The first bytes that the server sends; none where it expects TLS or closes the connection."""
    with contextlib.closing(socket.create_connection((host, port), timeout=CONNECT_S)) as connection:
        if os.environ.get("RAY_USE_TLS", "0") != "0":
            return b""
        connection.sendall(_PREFACE)
        return connection.recv(_FRAME_HEADER, socket.MSG_WAITALL)


def _is_healthy(address: str) -> bool:
    """Whether the server has gRPC's service of health. Proxies accept every connection, and speak HTTP/2.

    Raises TimeoutError if it does not answer.
    """
    with grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        try:
            channel.unary_unary(_HEALTH)(b"", timeout=CONNECT_S)
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.DEADLINE_EXCEEDED:
                raise TimeoutError from error
            return False
    return True


def _is_settings_frame(answer: bytes) -> bool:
    return len(answer) == _FRAME_HEADER and answer[_FRAME_TYPE] == _SETTINGS


def _fix(setting: str) -> str:
    without = "unset it" if setting == "RAY_ADDRESS" else "leave it out"
    return f"start the cluster, correct the address, or {without} to use this machine alone"
