"""Addresses of videos inside archives and tables: ``videos.tar#offset=512&size=10240``.

Three forms: a range of stored bytes (in a tar, or a zip's member that is not compressed); a member by name,
to be decompressed; a cell of a Parquet column of bytes.
"""

import re
from dataclasses import dataclass
from typing import Self
from urllib.parse import quote, unquote

_RANGE = re.compile(r"offset=(\d{1,18})&size=(\d{1,18})")
_MEMBER = re.compile(r"member=([^&#]+)")
_CELL = re.compile(r"column=([^&#]+)&row=(\d{1,18})")


@dataclass(frozen=True)
class MemberAddress:
    """Where a video is within a file; either ``offset`` and ``size`` are given, or ``member``, or ``column``
    and ``row``.

    Attributes:
        url: path or URL of the file.
        offset: of the first byte.
        size: in bytes.
        member: name of a member of an archive.
        column: name of a Parquet column, with dots between nested names.
        row: of the Parquet file, from 0.
    """

    url: str
    offset: int | None = None
    size: int | None = None
    member: str | None = None
    column: str | None = None
    row: int | None = None

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """The address that a text is, or None: other fragments are part of a URL."""
        url, separator, fragment = text.rpartition("#")
        if not separator or not url:
            return None
        if match := _RANGE.fullmatch(fragment):
            return cls(url, offset=int(match[1]), size=int(match[2]))
        if match := _MEMBER.fullmatch(fragment):
            return cls(url, member=unquote(match[1]))
        if match := _CELL.fullmatch(fragment):
            return cls(url, column=unquote(match[1]), row=int(match[2]))
        return None

    def __str__(self) -> str:
        if self.member is not None:
            return f"{self.url}#member={quote(self.member, safe='/')}"
        if self.column is not None:
            return f"{self.url}#column={quote(self.column, safe='')}&row={self.row}"
        return f"{self.url}#offset={self.offset}&size={self.size}"
