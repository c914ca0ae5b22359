"""Pages of sites → files, each by a process with a deadline."""

import asyncio
import contextlib
import importlib.util
import json
import os
import shutil
import signal
import sys
from pathlib import Path

from core.code_version import CHECKOUT
from core.errors import RejectedError
from core.files import sha256
from core.store_errors import RETRIED_STATUS
from core.urls import without_credentials
from pipelines.fetch.access import WebAccess, write_cookies
from pipelines.fetch.download import Fetched
from pipelines.fetch.failures import BUSY_STATUS, FailedAttempt
from pipelines.fetch.policy import FetchPolicy

_WORKER = Path(__file__).with_name("site_worker.py")
_INSTALL = "pages of sites need yt-dlp: pip install 'animatic[sites]'"
_DETAIL_CHARS = 200
_MISSING_STATUS = (404, 410)


def missing_reader() -> str | None:
    """What has to be installed before pages can be read; None if nothing is missing."""
    return None if importlib.util.find_spec("yt_dlp") is not None else _INSTALL


class SiteReader:
    """Fetches videos on pages."""

    def __init__(self, policy: FetchPolicy, access: WebAccess) -> None:
        self._policy, self._access = policy, access

    async def read(self, url: str, into: Path) -> Fetched:
        """Fetch the video of a page to ``into``.

        Raises RejectedError (fetch_refused, too_large, empty_file), FailedAttempt, FileNotFoundError, and
        TimeoutError after the policy's time for an attempt.
        """
        lack = missing_reader()
        if lack is not None:
            raise RejectedError("fetch_refused", lack)
        folder = into.with_name(f"{into.name}.site")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        try:
            await self._run(url, folder)
            (folder / "video").replace(into)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return await asyncio.to_thread(self._checked, url, into)

    async def _run(self, url: str, folder: Path) -> None:
        cookies = folder / "cookies.txt"
        if self._access.cookies:
            write_cookies(self._access.cookies, cookies)
        agent = {"User-Agent": self._access.user_agent} if self._access.user_agent else {}
        request = {
            "url": url,
            "into": str(folder / "video"),
            "format": self._policy.sites_format,
            "max_bytes": self._policy.max_bytes,
            "allow_private": self._policy.allow_private,
            "cookies": str(cookies) if self._access.cookies else None,
            "headers": {**self._access.harmless_headers(), **agent},
        }
        _check_reply(await _ask(json.dumps(request).encode(), folder, self._policy.timeout_s))

    def _checked(self, url: str, path: Path) -> Fetched:
        size = path.stat().st_size
        if size > self._policy.max_bytes:
            raise RejectedError("too_large", f"{size} bytes")
        return Fetched(path, url, sha256(path), size)


async def _ask(request: bytes, folder: Path, timeout_s: float) -> dict[str, object]:
    """The worker's reply; it and whatever it started end with this call."""
    paths = os.pathsep.join([str(CHECKOUT), *filter(None, [os.environ.get("PYTHONPATH")])])
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        str(_WORKER),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": paths, "YTDLP_NO_PLUGINS": "1"},
        start_new_session=True,
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(request), timeout_s)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
    try:
        reply = json.loads(output)
    except ValueError:
        raise FailedAttempt("fetch_failed", f"yt-dlp ended with status {process.returncode}") from None
    return reply if isinstance(reply, dict) else {}


def _check_reply(reply: dict[str, object]) -> None:
    """Raise what a reply reports."""
    match reply:
        case {"ok": True}:
            return
        case {"status": int(status), "message": str(message)}:
            if status in _MISSING_STATUS:
                raise FileNotFoundError
            if status >= 500 or status in RETRIED_STATUS | BUSY_STATUS:
                raise FailedAttempt("fetch_failed", _one_line(message))
            raise RejectedError("fetch_refused", _one_line(message))
        case {"temporary": str(message)}:
            raise FailedAttempt("fetch_failed", _one_line(message))
        case {"too_large": str(message)}:
            raise RejectedError("too_large", _one_line(message))
        case {"refused": str(message)}:
            raise RejectedError("fetch_refused", _one_line(message))
        case _:
            raise FailedAttempt("fetch_failed", "no reply of yt-dlp")


def _one_line(message: str) -> str:
    return without_credentials(" ".join(message.split()))[:_DETAIL_CHARS]
