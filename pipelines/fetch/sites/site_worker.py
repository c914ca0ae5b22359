"""Fetches the video of one page: run as a script, with a request in JSON on stdin and a reply on stdout.

A process of its own, since extractors are much code for pages of strangers: it ends with its deadline, and
whatever it writes is limited in size. It imports nothing of this code but what follows.
"""

import contextlib
import json
import re
import resource
import signal
import socket
import sys
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypedDict
from urllib.parse import urlsplit

from core.public_addresses import is_public

_MARGIN = 1 << 20  # of bytes written, for what the library records beside a video
_MEMORY = 4 << 30
_SOCKET_S = 30
_STATUS = re.compile(r"HTTP Error (\d{3})\b")
_GOT_ERROR = "[download] Got error:"


class Request(TypedDict):
    """What is fetched: the video of ``url``, in ``format``, to the file ``into``."""

    url: str
    format: str
    into: str
    max_bytes: int
    allow_private: bool
    cookies: str | None
    headers: dict[str, str]


class Reply(TypedDict, total=False):
    """What became of it: one of these, and ``message`` with a ``status`` of HTTP."""

    ok: bool
    status: int
    message: str
    temporary: str
    too_large: str
    refused: str


class NotPublicError(OSError):
    """An address within this network."""


class TooLargeError(Exception):
    """More bytes than a video may have."""


class _Silent:
    def debug(self, message: str) -> None:
        """Print nothing."""

    info = warning = error = debug


def main() -> None:
    """Read a request, fetch, and reply: ``ok``, or one of ``status``, ``temporary``, ``too_large``,
    ``refused``, with a message."""
    request: Request = json.load(sys.stdin)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    size = request["max_bytes"] + _MARGIN
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    if not request["allow_private"]:
        _refuse_private_addresses()
    print(json.dumps(_fetch(request)))


def _refuse_private_addresses() -> None:
    """Check every address that a name resolves to, wherever the library connects."""
    resolve = socket.getaddrinfo
    proxies = {urlsplit(proxy).hostname for proxy in urllib.request.getproxies().values()}

    def checked(host: Any, *arguments: Any, **options: Any) -> Any:
        found = resolve(host, *arguments, **options)
        name = host.decode() if isinstance(host, bytes) else host
        if name not in proxies and not all(is_public(str(entry[4][0])) for entry in found):
            raise NotPublicError("the address is not public")
        return found

    socket.getaddrinfo = checked


def _fetch(request: Request) -> Reply:
    import yt_dlp

    try:
        with yt_dlp.YoutubeDL(_options(request)) as downloader:
            downloader.extract_info(request["url"], download=True)
    except TooLargeError:
        return {"too_large": f"more than {request['max_bytes']} bytes"}
    except (yt_dlp.utils.YoutubeDLError, OSError) as error:
        return _failure(error)
    if not Path(request["into"]).is_file():  # skipped: too large by its headers, or live
        return {"refused": "no file of its formats fits fetch.max_bytes, or it is live"}
    return {"ok": True}


def _options(request: Request) -> dict[str, object]:
    return {
        "format": request["format"],
        "outtmpl": {"default": request["into"].replace("%", "%%")},
        "logger": _Silent(),
        "quiet": True,
        "noprogress": True,
        "progress_hooks": [_size_check(request["max_bytes"])],
        "max_filesize": request["max_bytes"],
        "match_filter": _no_live,
        "cookiefile": request["cookies"],
        "http_headers": request["headers"],
        "noplaylist": True,
        "playlist_items": "1",
        "nopart": True,
        "overwrites": True,
        "updatetime": False,
        "cachedir": False,
        "fixup": "never",
        # Programs that it starts would connect wherever a page wants them to.
        "ffmpeg_location": "/nonexistent",
        "external_downloader": {"default": "native"},
        "hls_prefer_native": True,
        "socket_timeout": _SOCKET_S,
        "retries": 0,
        "extractor_retries": 0,
        "fragment_retries": 2,
    }


def _size_check(max_bytes: int) -> Callable[[Mapping[str, Any]], None]:
    def check(progress: Mapping[str, Any]) -> None:
        if (progress.get("downloaded_bytes") or 0) > max_bytes:
            raise TooLargeError

    return check


def _no_live(info: Mapping[str, Any], *, incomplete: bool = False) -> str | None:
    return "it is live" if info.get("is_live") else None


def _failure(error: BaseException) -> Reply:
    from yt_dlp.networking.exceptions import HTTPError, TransportError

    causes = list(_causes(error))
    message = str(error).removeprefix("ERROR: ").partition("; please report this issue")[0]
    for cause in causes:
        if isinstance(cause, TooLargeError):
            return {"too_large": message}
        if isinstance(cause, NotPublicError):
            return {"refused": str(cause)}
    for cause in causes:
        if isinstance(cause, HTTPError):
            return {"status": cause.status, "message": message}
        if isinstance(cause, TransportError | TimeoutError | ConnectionError):
            return {"temporary": message}
    # The library's downloader passes its causes on as text alone.
    status = _STATUS.search(message)
    if status is not None:
        return {"status": int(status[1]), "message": message}
    return {"temporary": message} if _GOT_ERROR in message else {"refused": message}


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error and everything that it was raised for: the library keeps causes in several places."""
    seen: list[BaseException] = []
    waiting = [error]
    while waiting:
        cause = waiting.pop(0)
        if cause in seen:
            continue
        seen.append(cause)
        yield cause
        with contextlib.suppress(AttributeError, IndexError, TypeError):
            waiting.append(cause.exc_info[1])  # type: ignore[attr-defined]
        for name in ("cause", "orig_error", "__cause__", "__context__"):
            inner = getattr(cause, name, None)
            if isinstance(inner, BaseException):
                waiting.append(inner)


if __name__ == "__main__":
    main()
