"""Protection of browsers: pages of other sites change nothing here, and read nothing."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from orchestration.serving.api.errors import error_response
from orchestration.serving.schema import ApiError

_READING = frozenset({"GET", "HEAD", "OPTIONS"})


class SameOrigin:
    """ASGI middleware: refuses what a page of another site makes a browser send.

    Any page can post a form to a service on the machine of its visitor (Sec-Fetch-Site names such requests),
    or give its own name this machine's address (the header Host then has that name). The second is
    checked for services without keys alone: others need a key that such a page does not have.
    """

    def __init__(self, app: ASGIApp, rejected: Callable[[str], None], hosts: frozenset[str] | None) -> None:
        self._app, self._rejected, self._hosts = app, rejected, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        problem = self._problem(scope) if scope["type"] == "http" else None
        if problem is None:
            await self._app(scope, receive, send)
            return
        self._rejected("forbidden")
        await error_response(ApiError("forbidden", problem))(scope, receive, send)

    def _problem(self, scope: Scope) -> str | None:
        headers = Headers(scope=scope)
        site = headers.get("sec-fetch-site", "none")
        if scope["method"] not in _READING and site not in ("none", "same-origin"):
            return "a page of another site sent this request: use the service's own page, or a program"
        host = headers.get("host")
        if self._hosts is not None and host is not None and _name(host) not in self._hosts:
            known = ", ".join(sorted(self._hosts))
            return (
                f"this service without API keys is called {known}, not {host[:100]!r}: use one of these "
                "names, set http.public_url, or use keys"
            )
        return None


def _name(host: str) -> str | None:
    """The name in a header Host, without its port; None for one that is none."""
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None
