"""An open archive, whose members are read one at a time."""

import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from typing import Protocol

import pyarrow as pa

from core.errors import RejectedError
from pipelines.fetch.members.guarded_file import GuardedFile
from pipelines.sources import MemberAddress

BLOCK = 1 << 20
Sink = Callable[[bytes], None]
# What damaged content lets the libraries raise that parse it.
UNREADABLE = (
    OSError,
    EOFError,
    ValueError,
    LookupError,
    ArithmeticError,
    NotImplementedError,
    struct.error,
    zlib.error,
    lzma.LZMAError,
    tarfile.TarError,
    RecursionError,  # of tarfile: extended headers of extended headers
    zipfile.BadZipFile,
    pa.ArrowException,
)


class Archive(Protocol):
    """A file with members."""

    def read(self, address: MemberAddress, sink: Sink) -> None:
        """Pass a member's bytes to ``sink``, block by block.

        Raises RejectedError (missing_file, unreadable_archive), and UNREADABLE for damage.
        """
        ...


Opener = Callable[[GuardedFile, int], Archive]


def missing_member(name: str) -> RejectedError:
    """The rejection of a member that an archive does not have."""
    return RejectedError("missing_file", f"the archive has no member {name[:200]}")
