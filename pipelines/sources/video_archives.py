"""Videos of a table that are in archives: found by the names that its rows have for them."""

import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self

from core.errors import AnimaticError
from core.urls import is_url, is_web
from pipelines.sources.find import find_archives
from pipelines.sources.listings import Listing
from pipelines.sources.listings.members import Member, MemberIndex
from pipelines.sources.listings.names import VIDEO_SUFFIXES, is_archive, suffix_of
from pipelines.sources.member_address import MemberAddress
from pipelines.sources.row import SourceRow

_BATCH = 256  # rows that are located at once
_Warn = Callable[[str], None]


def are_archives(videos: str) -> bool:
    """Whether the location of a table's videos names archives: one, a glob, a range in braces, or a local
    folder that has some."""
    if is_archive(videos.partition("?")[0] if is_web(videos) else videos):
        return is_url(videos) or not Path(videos).is_dir()
    return not is_url(videos) and Path(videos).is_dir() and _has_archives(Path(videos))


class VideoArchives:
    """Archives with the videos of a table. Their members are indexed when the first row needs one."""

    def __init__(self, videos: str, on_warning: _Warn = lambda _: None) -> None:
        """``on_warning`` gets a line for each archive that cannot be read.

        Raises AnimaticError if there are no archives.
        """
        found = find_archives(videos)
        self._archives = [file for file in found.files if isinstance(file, Listing)]
        self._root, self._warn = found.videos, on_warning
        # In a folder there may be files beside the archives.
        self._is_folder = not is_url(videos) and Path(videos).is_dir()
        self._made: MemberIndex | None = None

    @classmethod
    def at(cls, videos: str | None, on_warning: _Warn = lambda _: None) -> Self | None:
        """Those of a location of videos; None if it is another. Raises AnimaticError as above."""
        return None if videos is None or not are_archives(videos) else cls(videos, on_warning)

    def located(self, rows: Sequence[SourceRow]) -> list[SourceRow]:
        """The rows with the locations of their videos, where members have the names that the rows mean.

        A row whose member cannot be read, or that may mean several, has the problem missing_file. Raises
        what the file system of the archives does.
        """
        found = [_Wanted(row, self._member(row) if _may_be_inside(row) else None) for row in rows]
        addresses = self._addresses([wanted.member for wanted in found if isinstance(wanted.member, Member)])
        return [self._with_location(wanted, addresses) for wanted in found]

    def located_rows(self, rows: Iterable[SourceRow]) -> Iterator[SourceRow]:
        """Every row as ``located`` returns it, in the order given."""
        rows = iter(rows)
        while batch := list(itertools.islice(rows, _BATCH)):
            yield from self.located(batch)

    def _with_location(self, wanted: "_Wanted", addresses: Iterator[str | ValueError]) -> SourceRow:
        row, member = wanted.row, wanted.member
        if isinstance(member, Member):
            address = next(addresses)
            if isinstance(address, ValueError):
                return replace(row, problem="missing_file", detail=f"{member.name}: {address}"[:200])
            return replace(row, location=f"{self._root}/{address}")
        if member is None or (member == "" and (self._is_folder or is_web(row.content_url))):
            return row
        detail = member or f"no member of the archives is named {_names(row)[0]}"
        return replace(row, problem="missing_file", detail=detail[:200])

    def _member(self, row: SourceRow) -> Member | str:
        """The member that a row means, or why there is none; empty if none has such a name."""
        index = self._index
        names = _names(row)
        for name in names:
            member = index.named(name)
            if member is not None:
                return member
        for base in dict.fromkeys(name.rpartition("/")[2] for name in names):
            members = index.with_base(base)
            if len(members) > 1:
                both = ", ".join(member.name for member in members)
                return f"several members of the archives are named {base}: {both}"
            if members:
                return members[0]
        return ""

    def _addresses(self, members: list[Member]) -> Iterator[str | ValueError]:
        """Addresses of members, below the root."""
        by_archive = {
            number: iter(
                self._archives[number]
                .tree()
                .addresses([m for m in members if m.archive == number], self._archives[number].url)
            )
            for number in {member.archive for member in members}
        }
        for member in members:
            address = next(by_archive[member.archive])
            yield ValueError(member.fault) if member.fault else address

    @property
    def _index(self) -> MemberIndex:
        if self._made is None:
            members = map(self._members, range(len(self._archives)))
            self._made = MemberIndex(itertools.chain.from_iterable(members))
            if self._made.repeated:
                self._warn(f"{self._made.repeated} members of the archives have the name of an earlier one")
        return self._made

    def _members(self, number: int) -> Iterator[Member]:
        try:
            for member in self._archives[number].tree().members():
                if suffix_of(member.name) in VIDEO_SUFFIXES:
                    yield replace(member, archive=number, content=None)
                elif member.fault and not member.name:
                    self._warn(f"the archive {self._archives[number].name} is {member.fault}")
        except AnimaticError as error:
            self._warn(str(error))


class _Wanted:
    """A row, and the member that it means: none has to be looked for if it is None."""

    def __init__(self, row: SourceRow, member: Member | str | None) -> None:
        self.row, self.member = row, member


def _may_be_inside(row: SourceRow) -> bool:
    """Whether a good row's video may be in an archive: it has a relative path, only an id, or a copy."""
    url = row.content_url
    if row.problem is not None or MemberAddress.parse(url) is not None:
        return False
    if is_web(url):
        return row.columns.page_dir in row.record
    return not is_url(url) and not url.startswith("/")


def _names(row: SourceRow) -> list[str]:
    """Names of the member that a row means, the likeliest first."""
    url, folder = row.content_url, row.record.get(row.columns.page_dir, "")
    names = [url] if url and not is_url(url) else []
    below = f"{folder}/{row.source_id}" if folder else row.source_id
    if not names or folder:
        if suffix_of(row.source_id) in VIDEO_SUFFIXES:
            names.append(below)
        names += [f"{below}{suffix}" for suffix in (".mp4", *sorted(VIDEO_SUFFIXES - {".mp4"}))]
    return [name.removeprefix("./") for name in names]


def _has_archives(folder: Path) -> bool:
    with os.scandir(folder) as entries:
        return any(is_archive(entry.name) and entry.is_file() for entry in entries)
