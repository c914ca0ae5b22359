"""Members of archives → downloads; what is read in its order stays open between members."""

import asyncio
import contextlib
import io
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, cast

from core.errors import RejectedError
from core.urls import is_web
from pipelines.fetch.download import BLOCK, DiskFailure, Download, Fetched
from pipelines.fetch.failures import detail_of
from pipelines.fetch.members.archive import UNREADABLE, Archive, Opener
from pipelines.fetch.members.cells import ParquetCells
from pipelines.fetch.members.guarded_file import GuardedFile
from pipelines.fetch.members.tars import TarMembers
from pipelines.fetch.members.zips import ZipMembers
from pipelines.fetch.stores import local_path, open_local, open_object, read_part
from pipelines.fetch.web import Web
from pipelines.fetch.web_file import WebFile
from pipelines.sources import MemberAddress

_MOST_OPEN = 4
_MOST_DIRECTORY = 256 << 20  # bytes that a zip's directory may have, at about 100 for a member
_WEB_BLOCK = 4 << 20
_ZIP_MAGIC = b"PK"


@dataclass
class _Opened:
    """What one thread at a time reads; a thread that was given up on keeps its own."""

    file: GuardedFile | None = None
    archive: Archive | None = None


@dataclass
class _Entry:
    """An archive between two of its members; the one who has the lock reads."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    opened: _Opened = field(default_factory=_Opened)

    def abandon(self) -> None:
        """Open it again for the next member. A thread that still reads it fails."""
        if self.opened.file is not None:
            self.opened.file.give_up()
        self.opened = _Opened()


class MemberReader:
    """Reads members of archives on disks, on the web and in stores, for one event loop."""

    def __init__(self, web: Web, max_bytes: int, timeout_s: float) -> None:
        """``max_bytes`` of a member; ``timeout_s``: without progress."""
        self._web, self._max_bytes, self._timeout_s = web, max_bytes, timeout_s
        self._open: OrderedDict[str, _Entry] = OrderedDict()

    async def read(self, address: MemberAddress, download: Download) -> Fetched:
        """Store a member as the current attempt of ``download``.

        Raises RejectedError (missing_file, unreadable_archive, too_large, …), FileNotFoundError if there is
        no such archive, TimeoutError, and whatever the library of its web server or store does.
        """
        if address.offset is None:
            await self._read_member(address, download)
        else:
            await self._read_range(address.url, address.offset, address.size or 0, download)
        return download.fetched()

    def close(self) -> None:
        """Let threads that still read an archive end."""
        for entry in self._open.values():
            entry.abandon()

    async def _read_range(self, url: str, offset: int, size: int, download: Download) -> None:
        if size > self._max_bytes:
            raise RejectedError("too_large", f"{size} bytes")
        if not is_web(url):
            reading = asyncio.to_thread(_store_range, url, offset, size, download, download.attempt)
            await asyncio.wait_for(reading, self._timeout_s)
        elif size:
            async with self._web.get_range(url, offset, size) as blocks:
                async for block in blocks:
                    download.add(block, download.attempt)

    async def _read_member(self, address: MemberAddress, download: Download) -> None:
        entry = self._entry(address.url)
        # The lock is first come, first served: members are read in the order of their rows.
        async with entry.lock:
            try:
                await self._read_open(entry.opened, address, download)
            except BaseException as error:
                if not isinstance(error, RejectedError):
                    entry.abandon()
                raise

    def _entry(self, url: str) -> _Entry:
        entry = self._open.setdefault(url, _Entry())
        self._open.move_to_end(url)
        idle = [other for other, candidate in self._open.items() if not candidate.lock.locked()]
        for other in idle[: max(0, len(self._open) - _MOST_OPEN)]:
            if other != url:
                self._open.pop(other).abandon()
        return entry

    async def _read_open(self, opened: _Opened, address: MemberAddress, download: Download) -> None:
        """Read a member, however long it takes to come to it, as long as there is progress."""
        loop, attempt, progress = asyncio.get_running_loop(), download.attempt, -1

        def deliver() -> None:
            with _true_errors(opened):
                if opened.file is None:
                    opened.file = self._open_file(address, loop)
                if opened.archive is None:
                    opened.archive = _opener(address, opened.file)(opened.file, self._max_bytes)
                opened.archive.read(address, lambda block: download.add(block, attempt))

        work = asyncio.ensure_future(asyncio.to_thread(deliver))
        while not (await asyncio.wait({work}, timeout=self._timeout_s))[0]:
            now = 0 if opened.file is None else opened.file.progress
            if now == progress:
                raise TimeoutError
            progress = now
        work.result()

    def _open_file(self, address: MemberAddress, loop: asyncio.AbstractEventLoop) -> GuardedFile:
        most = _MOST_DIRECTORY if address.member is not None else max(self._max_bytes, _MOST_DIRECTORY)
        if is_web(address.url):
            raw = WebFile(self._web, address.url, loop)
            return GuardedFile(cast("BinaryIO", io.BufferedReader(raw, _WEB_BLOCK)), most)
        return GuardedFile(_open_local_or_stored(address.url), most)


@contextlib.contextmanager
def _true_errors(opened: _Opened) -> Iterator[None]:
    """Distinguish damage of an archive from a failure to read it."""
    try:
        yield
    except (RejectedError, DiskFailure, InterruptedError):
        raise
    except UNREADABLE as error:
        if opened.file is None:
            raise  # it was not even opened
        if opened.file.failure is not None:
            raise opened.file.failure from None
        raise RejectedError("unreadable_archive", detail_of(error)) from error


def _opener(address: MemberAddress, file: GuardedFile) -> Opener:
    if address.column is not None:
        return ParquetCells
    magic = file.read(len(_ZIP_MAGIC))
    file.seek(0)
    return ZipMembers if magic == _ZIP_MAGIC else TarMembers


def _open_local_or_stored(url: str) -> BinaryIO:
    path = local_path(url)
    return open_object(url) if path is None else open_local(path)


def _store_range(url: str, offset: int, size: int, download: Download, attempt: int) -> None:
    """Copy stored bytes. Raises RejectedError (unreadable_archive) if the file ends before them."""
    end = offset + size
    if local_path(url) is not None:
        with _open_local_or_stored(url) as file:
            file.seek(offset)
            _copy(lambda start, stop: file.read(stop - start), offset, end, download, attempt, BLOCK)
    else:
        _copy(lambda start, stop: read_part(url, start, stop), offset, end, download, attempt, _WEB_BLOCK)


def _copy(
    read: Callable[[int, int], bytes], start: int, end: int, download: Download, attempt: int, block_size: int
) -> None:
    while start < end:
        block = read(start, min(end, start + block_size))
        if not block:
            raise RejectedError("unreadable_archive", f"the file ends before byte {end}")
        download.add(block, attempt)
        start += len(block)
