"""A stream that is hashed and counted while it is read, by a tar reader for example."""

import hashlib
import io
from typing import BinaryIO

_BLOCK = 1 << 20


class HashingReader(io.RawIOBase):
    """Reads a file from front to back.

    Attributes:
        size: bytes read so far.
        tail: the last ``keep`` of them.
    """

    def __init__(self, file: BinaryIO, keep: int = 0) -> None:
        self._file, self._hash, self._keep = file, hashlib.sha256(), keep
        self.size, self.tail = 0, b""

    def readable(self) -> bool:
        """Always."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Up to ``size`` bytes; all that are left without one."""
        data = self._file.read(size)
        self._hash.update(data)
        self.size += len(data)
        if self._keep:
            self.tail = (self.tail + data)[-self._keep :]
        return data

    def exhaust(self) -> None:
        """Read what is left."""
        while self.read(_BLOCK):
            pass

    @property
    def sha256(self) -> str:
        """Digest of what was read so far."""
        return self._hash.hexdigest()
