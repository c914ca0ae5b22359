"""The dashboard of a cluster, which accepts jobs: found from an address, and checked within seconds."""

from __future__ import annotations

import contextlib
import os
import re
import socket
from collections.abc import Iterator
from functools import partial
from urllib.parse import urlsplit

import requests

from core.deadline import within
from core.errors import AnimaticError
from core.retry import RetryableError, RetryPolicy
from core.urls import is_web, without_credentials
from pipelines.cluster.address import CONNECT_S, bootstrap_address, check_cluster, token_refused

_OVERRIDES = ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS")
# A head registers its dashboard some seconds after it accepts nodes.
_REGISTERED = RetryPolicy(attempts=None, pause_s=0.5, most_pause_s=1, patience_s=8)
UNAUTHENTICATED = (401, 403)
_LOOPBACK = ("http://127.", "http://localhost:")
_HOST_AND_PORT = re.compile(r"([\w.-]+|\[[0-9A-Fa-f:]+\]):\d+", re.ASCII)


def dashboard_url(address: str, setting: str) -> str:
    """The URL of the dashboard of the cluster at ``address``.

    Args:
        address: ``http(s)://host:port``, or what names a cluster to Ray: ``auto``, ``host:port``.
        setting: where the address comes from, as ``--address``; for messages.

    Raises:
        AnimaticError: there is no cluster, or it has no dashboard.
    """
    if is_web(address):
        if "@" in address.partition("://")[2].partition("/")[2]:
            # Not printed: what is before the @ may be a password.
            raise AnimaticError(
                f"the URL of {setting} has an @ behind a /: in a user name or password, write / as %2F; in a "
                "path, @ as %40"
            )
        return address.rstrip("/")
    if address.startswith("ray://"):
        raise AnimaticError(
            f"{address} ({setting}) is an address for interactive clients: jobs go to the dashboard of the "
            "cluster, as http://HEAD:8265"
        )
    if address != "auto" and _HOST_AND_PORT.fullmatch(address) is None:
        raise AnimaticError(
            f"{address.rpartition('@')[2]} ({setting}) is not the address of a Ray cluster: give the URL "
            "of its dashboard, as http://HEAD:8265, or HOST:PORT, or auto"
        )
    try:
        check_cluster(address, setting)
    except AnimaticError:
        # The port of the dashboard, without http://?
        if address == "auto" or ray_version(f"http://{address}") is None:
            raise
        return f"http://{address}"
    found = f"http://{_registered_dashboard(bootstrap_address(address))}"
    if found.startswith(_LOOPBACK) and ray_version(found) is None:
        raise AnimaticError(
            f"the dashboard of the Ray cluster at {address} ({setting}) accepts connections on its head "
            "alone: start that with `ray start --head --dashboard-host=0.0.0.0`, or submit there"
        )
    return found


def checked_version(url: str, setting: str) -> str:
    """The version of Ray whose dashboard answers at ``url``.

    Raises:
        AnimaticError: nothing answers there, or what does is no dashboard.
    """
    try:
        response = _get_version(url)
        if response.status_code in UNAUTHENTICATED:
            # Without a version, but of Ray: the caller sends its token.
            return ""
        version = response.json()["ray_version"]
    except (requests.exceptions.RequestException, TimeoutError, ValueError, KeyError, TypeError) as error:
        raise AnimaticError(
            f"no Ray dashboard at {without_credentials(url)} ({setting}): {_cause(error, url)}; give the URL "
            "of the dashboard of the cluster's head, as http://HEAD:8265, whose port this machine can reach"
        ) from error
    return str(version)


def ray_version(url: str) -> str | None:
    """The version of Ray whose dashboard answers at ``url``; None if none does."""
    try:
        return checked_version(url, "")
    except AnimaticError:
        return None


@contextlib.contextmanager
def only_given_address() -> Iterator[None]:
    """Inside, Ray's clients use the address that they are given, and not the one in the environment."""
    hidden = {name: os.environ.pop(name) for name in _OVERRIDES if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(hidden)


def _get_version(url: str) -> requests.Response:
    ask = partial(requests.get, f"{url}/api/version", timeout=CONNECT_S, allow_redirects=False)
    return within(CONNECT_S, ask)


def _cause(error: Exception, url: str) -> str:
    if isinstance(error, requests.exceptions.Timeout | TimeoutError):
        return f"it did not answer within {CONNECT_S:g} s"
    if isinstance(error, requests.exceptions.SSLError):
        return "its TLS certificate is not accepted, or it expects no TLS"
    if isinstance(error, requests.exceptions.ConnectionError):
        host = urlsplit(url).hostname or ""
        if not _resolves(host):
            return f"the name {host} does not resolve"
        return _refusal(error)
    if isinstance(error, KeyError | TypeError | requests.exceptions.JSONDecodeError):
        return "the server there is not Ray's dashboard"
    return "the address is not a valid URL"


def _refusal(error: BaseException) -> str:
    """Why there is no connection: the error of the system from which this one followed."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ConnectionRefusedError):
            return "nothing listens there"
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        cause = cause.__cause__ or cause.__context__
    return "the connection was closed"


def _resolves(host: str) -> bool:
    try:
        socket.getaddrinfo(host, None)
    except OSError:
        return False
    return True


def _registered_dashboard(cluster: str) -> str:
    """host:port of the dashboard of the cluster whose head is at ``cluster``."""
    from ray._private.ray_constants import DASHBOARD_ADDRESS, KV_NAMESPACE_DASHBOARD
    from ray._raylet import GcsClient  # type: ignore[attr-defined]
    from ray.exceptions import AuthenticationError, RaySystemError, RpcError

    def look() -> str:
        client = GcsClient(address=cluster)
        found = client.internal_kv_get(DASHBOARD_ADDRESS.encode(), KV_NAMESPACE_DASHBOARD, CONNECT_S)
        if not found:
            raise RetryableError(
                f"the Ray cluster at {cluster} has no dashboard, which accepts jobs: start its head with "
                "`ray start --head --include-dashboard=true` and the packages of ray[default]"
            )
        return str(found.decode())

    try:
        return _REGISTERED.call(look)
    except RetryableError as error:
        raise AnimaticError(str(error)) from error
    except AuthenticationError as error:
        raise AnimaticError(f"{token_refused(cluster)}; or give the URL of its dashboard") from error
    except (RpcError, RaySystemError) as error:
        reason = " ".join(str(error).split())[:200]
        raise AnimaticError(f"the Ray cluster at {cluster} refuses this client: {reason}") from error
