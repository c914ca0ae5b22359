"""A file on a web server, read by ranges."""

import asyncio
import io
from typing import cast

from pipelines.fetch.web import Web


class WebFile(io.RawIOBase):
    """A file to be read and searched by threads other than that of the event loop; each read is a request."""

    def __init__(self, web: Web, url: str, loop: asyncio.AbstractEventLoop) -> None:
        """Asks for the size. Raises as :meth:`pipelines.fetch.web.Web.read_range` does."""
        self._web, self._url, self._loop, self._position = web, url, loop, 0
        self._size = self._read(0, 1)[1]

    def readable(self) -> bool:
        """As that of files."""
        return True

    def seekable(self) -> bool:
        """As that of files."""
        return True

    def tell(self) -> int:
        """As that of files."""
        return self._position

    def seek(self, offset: int, whence: int = 0) -> int:
        """As that of files."""
        position = offset + (0, self._position, self._size)[whence]
        if position < 0:
            raise OSError("a position before the beginning of the file")
        self._position = position
        return position

    def readinto(self, buffer: object) -> int:
        """As that of files. Raises ConnectionError if the file has another size now."""
        view = memoryview(cast("bytearray", buffer)).cast("B")
        size = min(len(view), self._size - self._position)
        if size <= 0:
            return 0
        data, total = self._read(self._position, size)
        if total != self._size:
            raise ConnectionError("the file changed while it was read")
        view[: len(data)] = data
        self._position += len(data)
        return len(data)

    def _read(self, offset: int, size: int) -> tuple[bytes, int]:
        reading = self._web.read_range(self._url, offset, size)
        return asyncio.run_coroutine_threadsafe(reading, self._loop).result()
