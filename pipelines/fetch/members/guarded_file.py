"""The file of an archive, as the libraries that parse it see it: no read may be larger than videos need."""

from typing import BinaryIO

from core.errors import RejectedError


class GuardedFile:
    """A file to be read and searched; what fails below is distinguished from what is wrong with its content.

    Headers of a hostile archive may claim any length, which libraries would read into memory at once.

    Attributes:
        failure: the error of the last read that failed, None if none did.
        progress: bytes read so far.
    """

    def __init__(self, file: BinaryIO, most: int) -> None:
        """``most``: bytes of the largest read."""
        self._file, self._most = file, most
        self._given_up = False
        self.failure: Exception | None = None
        self.progress = 0

    @property
    def closed(self) -> bool:
        """Whether it is closed."""
        return self._file.closed

    def give_up(self) -> None:
        """Let the next read fail: nobody waits for it."""
        self._given_up = True

    def read(self, size: int | None = -1) -> bytes:
        """The next bytes. Raises RejectedError (unreadable_archive) if they are too many for one read."""
        if self._given_up:
            raise InterruptedError
        wanted = self._most + 1 if size is None or size < 0 else size
        if size is not None and size > self._most:
            raise RejectedError("unreadable_archive", f"a header claims {size} bytes")
        try:
            data = self._file.read(wanted)
        except Exception as error:
            self.failure = error
            raise
        if len(data) > self._most:
            raise RejectedError("unreadable_archive", f"a part of more than {self._most} bytes")
        self.progress += len(data)
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        """As that of files."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """As that of files."""
        return self._file.tell()

    def readable(self) -> bool:
        """As that of files."""
        return True

    def seekable(self) -> bool:
        """As that of files."""
        return True

    def writable(self) -> bool:
        """As that of files."""
        return False

    def flush(self) -> None:
        """As that of files."""

    def close(self) -> None:
        """Close the file."""
        self._file.close()
