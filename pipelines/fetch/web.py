"""Downloads over http(s) from addresses that strangers wrote down.

A source's address, or one that it redirects to, may name this machine or its neighbours (a cloud's metadata
service, say). Resolved addresses are therefore checked, and every redirect again.
"""

import contextlib
import ipaddress
import socket
import urllib.request
from collections.abc import AsyncIterator, Mapping
from urllib.parse import urljoin

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from core.errors import RejectedError
from core.public_addresses import is_public
from core.urls import without_credentials
from pipelines.fetch.access import WebAccess
from pipelines.fetch.failures import BUSY_STATUS, check_status, retry_after
from pipelines.fetch.host_limits import HostGate, turn
from pipelines.fetch.policy import FetchPolicy
from pipelines.fetch.web_ranges import range_blocks, range_headers, size_of_file

_MAX_REDIRECTS = 5
_REDIRECT_STATUS = {301, 302, 303, 307, 308}


class Web:
    """Connections of one event loop, kept open between downloads."""

    def __init__(self, policy: FetchPolicy, access: WebAccess, gate: HostGate) -> None:
        """``access``: what requests carry; ``gate``: limits of hosts, asked before each request."""
        self._policy, self._access, self._gate = policy, access, gate
        self._cookies = access.cookie_jar()
        self._timeout = aiohttp.ClientTimeout(total=policy.timeout_s)
        self._allow_private = policy.allow_private
        self._sessions: dict[bool, aiohttp.ClientSession] = {}  # by whether it connects without a proxy

    @contextlib.asynccontextmanager
    async def get(self, url: str) -> AsyncIterator[aiohttp.ClientResponse]:
        """The response to a GET, redirects followed.

        Raises aiohttp.ClientError, TimeoutError, FailedAttempt and RejectedError (fetch_refused).
        """
        async with self._answer(url, {}) as response:
            check_status(response)
            yield response

    @contextlib.asynccontextmanager
    async def get_range(self, url: str, offset: int, size: int) -> AsyncIterator[AsyncIterator[bytes]]:
        """A range of a file, of at least one byte, in blocks.

        Raises as ``get``, and RejectedError (unreadable_archive) if the file ends before.
        """
        async with self._answer(url, range_headers(offset, size)) as response:
            yield range_blocks(response, offset, size)

    async def read_range(self, url: str, offset: int, size: int) -> tuple[bytes, int]:
        """A range of a file and the file's size. Raises as ``get_range``."""
        async with self._answer(url, range_headers(offset, size)) as response:
            total = size_of_file(response, offset, size)
            return b"".join([block async for block in range_blocks(response, offset, size)]), total

    @contextlib.asynccontextmanager
    async def _answer(self, first: str, headers: Mapping[str, str]) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer of where the redirects from an address end, whatever its status is."""
        url = first
        for _ in range(_MAX_REDIRECTS + 1):
            proxy = self._checked_proxy(url)
            sent = {**self._access.headers_for(url, first, self._cookies), **headers}
            session, host = self._session(proxy is None), URL(url).host or ""
            async with (
                turn(self._gate, host),
                session.get(url, allow_redirects=False, proxy=proxy, headers=sent) as response,
            ):
                if response.status not in _REDIRECT_STATUS:
                    if response.status in BUSY_STATUS:
                        pause = retry_after(response.headers) or self._policy.backoff_s
                        await self._gate.pause(host, pause)
                    yield response
                    return
                url = urljoin(str(response.url), _target(response))
        raise RejectedError("fetch_refused", f"more than {_MAX_REDIRECTS} redirects")

    async def close(self) -> None:
        """Close every connection."""
        for session in self._sessions.values():
            await session.close()

    def _checked_proxy(self, url: str) -> str | None:
        """Reject an address that is not allowed; returns the proxy that the environment names for it.

        Behind a proxy, names are resolved by the proxy, which has to restrict them itself.
        """
        scheme, host = check_web_address(url, allow_private=self._allow_private)
        if urllib.request.proxy_bypass(host):
            return None
        return urllib.request.getproxies().get(scheme)

    def _session(self, direct: bool) -> aiohttp.ClientSession:
        if direct not in self._sessions:
            connector = aiohttp.TCPConnector(
                resolver=_CheckedResolver(self._allow_private) if direct else None,
                limit=self._policy.concurrency,
                limit_per_host=self._policy.per_host,
            )
            self._sessions[direct] = aiohttp.ClientSession(connector=connector, timeout=self._timeout)
        return self._sessions[direct]


def check_web_address(url: str, *, allow_private: bool) -> tuple[str, str]:
    """Check what can be known of an address before its name is resolved; returns its scheme and host.

    Raises RejectedError (fetch_refused).
    """
    try:
        parsed = URL(url)
    except ValueError as error:
        raise RejectedError("fetch_refused", "not a valid address") from error
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise RejectedError("fetch_refused", f"not an http address: {without_credentials(url)[:200]}")
    with contextlib.suppress(ValueError):
        check_public(str(ipaddress.ip_address(parsed.host)), allow_private=allow_private)
    if not allow_private and (parsed.host == "localhost" or parsed.host.endswith(".localhost")):
        raise RejectedError("fetch_refused", "the address is not public")
    return parsed.scheme, parsed.host


def _target(response: aiohttp.ClientResponse) -> str:
    """Where a response redirects to. Raises RejectedError (fetch_refused) if it names no address."""
    target = response.headers.get("Location", "").strip()
    if not target:
        raise RejectedError("fetch_refused", f"status {response.status}, a redirect without a target")
    return target


class _CheckedResolver(AbstractResolver):
    """Resolves names and rejects addresses that are not allowed; connections use the checked result."""

    def __init__(self, allow_private: bool) -> None:
        self._allow_private, self._resolver = allow_private, aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._resolver.resolve(host, port, family)
        for entry in found:
            check_public(entry["host"], allow_private=self._allow_private)
        return found

    async def close(self) -> None:
        await self._resolver.close()


def check_public(address: str, *, allow_private: bool) -> None:
    """Raise RejectedError (fetch_refused) unless an IP address is public or ``allow_private``."""
    if not allow_private and not is_public(address):
        raise RejectedError("fetch_refused", "the address is not public")
