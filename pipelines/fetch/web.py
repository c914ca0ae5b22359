"""Downloads over http(s) from addresses that strangers wrote down.

A source's address, or one that it redirects to, may name this machine or its neighbours (a cloud's metadata
service, say). Names are therefore resolved under guard, and every hop is looked at again.
"""

import contextlib
import ipaddress
import urllib.request
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urljoin

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from core.errors import RejectedError

REDIRECTS = 5
REDIRECT_STATUS = {301, 302, 303, 307, 308}


class Web:
    """Connections of one event loop, kept open between downloads; ``per_host`` at once to one host."""

    def __init__(self, *, connections: int, per_host: int, timeout_s: float, allow_private: bool) -> None:
        self._limits: dict[str, Any] = {"limit": connections, "limit_per_host": per_host}
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._allow_private = allow_private
        self._sessions: dict[bool, aiohttp.ClientSession] = {}

    @contextlib.asynccontextmanager
    async def get(self, url: str) -> AsyncIterator[aiohttp.ClientResponse]:
        """The response to a GET, redirects followed.

        Raises aiohttp.ClientError, TimeoutError and RejectedError (fetch_refused).
        """
        for _ in range(REDIRECTS + 1):
            proxy = self._check(url)
            async with self._session(proxy is None).get(url, allow_redirects=False, proxy=proxy) as response:
                if response.status not in REDIRECT_STATUS:
                    response.raise_for_status()
                    yield response
                    return
                url = urljoin(str(response.url), response.headers.get("Location", ""))
        raise RejectedError("fetch_refused", f"more than {REDIRECTS} redirects")

    async def close(self) -> None:
        """Close every connection."""
        for session in self._sessions.values():
            await session.close()

    def _check(self, url: str) -> str | None:
        """Refuse what may not be asked; returns the proxy that the environment names for the rest.

        Behind a proxy it is the proxy that resolves names, and must know what it lets through.
        """
        try:
            parsed = URL(url)
        except ValueError as error:
            raise RejectedError("fetch_refused", "not a valid address") from error
        if parsed.scheme not in ("http", "https") or not parsed.host:
            raise RejectedError("fetch_refused", "not an http address")
        with contextlib.suppress(ValueError):
            self._require_public(str(ipaddress.ip_address(parsed.host)))
        if not self._allow_private and (parsed.host == "localhost" or parsed.host.endswith(".localhost")):
            raise RejectedError("fetch_refused", "the address is not public")
        if urllib.request.proxy_bypass(parsed.host):
            return None
        return urllib.request.getproxies().get(parsed.scheme)

    def _session(self, direct: bool) -> aiohttp.ClientSession:
        if direct not in self._sessions:
            resolver = _Guard(self) if direct else None
            connector = aiohttp.TCPConnector(resolver=resolver, **self._limits)
            self._sessions[direct] = aiohttp.ClientSession(connector=connector, timeout=self._timeout)
        return self._sessions[direct]

    def _require_public(self, address: str) -> None:
        if not self._allow_private and not is_public(address):
            raise RejectedError("fetch_refused", "the address is not public")


class _Guard(AbstractResolver):
    """Resolves names to addresses that may be asked; what it checked is what gets connected to."""

    def __init__(self, web: Web) -> None:
        self._web, self._resolver = web, aiohttp.ThreadedResolver()

    async def resolve(self, *arguments: Any, **options: Any) -> list[Any]:
        found = await self._resolver.resolve(*arguments, **options)
        for entry in found:
            self._web._require_public(entry["host"])
        return found

    async def close(self) -> None:
        await self._resolver.close()


def is_public(address: str) -> bool:
    """Whether an IP address is one of the open internet."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        ip = ip.ipv4_mapped or ip.sixtofour or ip
    return ip.is_global and not ip.is_multicast
