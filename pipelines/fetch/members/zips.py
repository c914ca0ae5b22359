"""Members of zip archives that are compressed."""

import zipfile
from typing import IO, cast

from core.errors import RejectedError
from pipelines.fetch.members.archive import BLOCK, Sink, missing_member
from pipelines.fetch.members.guarded_file import GuardedFile
from pipelines.sources import MemberAddress

_ENCRYPTED = 1
# Python limits what a read of deflated bytes expands to; of others it expands all that it has read.
_LIMITED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_SMALL_BLOCK = 1 << 12


class ZipMembers:
    """A zip archive with its directory in memory."""

    def __init__(self, file: GuardedFile, max_bytes: int) -> None:
        """``max_bytes``: of a member. Raises UNREADABLE."""
        self._archive = zipfile.ZipFile(cast("IO[bytes]", file))
        # Of members with the same name the first one counts, as in tars.
        self._members = {member.filename: member for member in reversed(self._archive.infolist())}
        self._max_bytes = max_bytes

    def read(self, address: MemberAddress, sink: Sink) -> None:
        """See :class:`pipelines.fetch.members.archive.Archive`."""
        name = address.member or ""
        member = self._members.get(name)
        if member is None:
            raise missing_member(name)
        if member.flag_bits & _ENCRYPTED:
            raise RejectedError("unreadable_archive", f"{name[:200]} is encrypted")
        if member.file_size > self._max_bytes:
            raise RejectedError("too_large", f"{member.file_size} bytes")
        block_size = BLOCK if member.compress_type in _LIMITED else _SMALL_BLOCK
        with self._archive.open(member) as source:
            while block := source.read(block_size):
                sink(block)
