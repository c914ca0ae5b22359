"""A folder or archive of videos as a file of the source: a line for each video, made from its names."""

import io
import json
import tempfile
import weakref
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, Any, BinaryIO, Literal

from core.errors import AnimaticError
from pipelines.sources.files import Digest, SourceFile
from pipelines.sources.listings.members import Member, MemberIndex
from pipelines.sources.listings.names import class_caption, shard_key, stem_of, suffix_of
from pipelines.sources.listings.settings import FolderSettings
from pipelines.sources.listings.sidecars import Described, described_by
from pipelines.sources.listings.trees import FolderTree, Tree, in_batches, tree_of
from pipelines.sources.readers.dialect import Dialect
from pipelines.sources.readers.lines import BATCH, Line, escaped, is_storable

_COLUMNS = ("videoid", "name", "contentUrl", "bytes")
# Names with a meaning, which a field of a sidecar does not get.
_RESERVED = frozenset((*_COLUMNS, "page_dir", "timestamp"))
_BATCH = 256  # videos whose sidecars are read at once
_SPOOLED = 16 << 20  # bytes of lines in memory


@dataclass(frozen=True)
class Listing(SourceFile):
    """A folder or archive. Its bytes are lines of JSON that are made when they are first read.

    Attributes:
        prefix: before the ids of its videos, so that those of several archives differ.
        url: of the archive, relative to the folder of videos; empty for a folder.
        is_one_of_several: whether the source has other archives: one that cannot be read is a rejected row.
        settings: which captions it has.
        counts: what was found, once it was read, for people.
    """

    prefix: str = ""
    url: str = ""
    is_one_of_several: bool = False
    settings: FolderSettings = field(default_factory=FolderSettings)
    _lines: list[IO[bytes]] = field(default_factory=list, compare=False, repr=False)
    counts: Counter[str] = field(default_factory=Counter, compare=False, repr=False)

    @contextmanager
    def open(self, digest: Digest | None = None) -> Iterator[BinaryIO]:
        """The lines, which are made before the first is read."""
        source = io.BufferedReader(_LazyLines(self))
        yield source
        if digest is not None:
            source.seek(0)
            while block := source.read(1 << 20):
                digest.update(block)

    @property
    def compression(self) -> Literal[None]:
        """None: an archive is not read as a compressed table."""
        return None

    def made_lines(self) -> IO[bytes]:
        """The lines, in a temporary file. Raises AnimaticError if the archive cannot be read."""
        if not self._lines:
            lines = tempfile.SpooledTemporaryFile(_SPOOLED)  # noqa: SIM115 - closed with the listing
            weakref.finalize(self, lines.close)
            for line in _Lines(self, self.counts).made():
                lines.write(json.dumps(line, ensure_ascii=True).encode() + b"\n")
            self._lines.append(lines)
        return self._lines[0]

    def tree(self) -> Tree:
        """What the videos are in."""
        if self.kind == "folder":
            return FolderTree(self.filesystem, self.path)
        return tree_of(self.filesystem, self.path, self.size)


class ListingReader:
    """Reads the lines of a listing."""

    notice = ""
    dialect: Dialect | None = None

    def columns(self, data: BinaryIO) -> list[str]:
        """Names of the columns that every line has."""
        return list(_COLUMNS)

    def lines(self, data: BinaryIO) -> Iterator[list[Line]]:
        """Every line."""
        batch: list[Line] = []
        for text in data:
            record, fault = json.loads(text)
            batch.append(_checked(record, fault))
            if len(batch) == BATCH:
                yield batch
                batch = []
        if batch:
            yield batch

    def cells(self, data: BinaryIO, names: Sequence[str]) -> Iterator[list[list[str]]]:
        """Some columns of every line."""
        for batch in self.lines(data):
            yield [[line.record.get(name, "") for line in batch] for name in names]


class _LazyLines(io.RawIOBase):
    """The lines of a listing from the beginning, made when they are read."""

    def __init__(self, listing: Listing) -> None:
        self._listing, self._position = listing, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence != io.SEEK_SET:
            raise io.UnsupportedOperation("only from the beginning")
        self._position = offset
        return offset

    def readinto(self, buffer: Any) -> int:
        lines = self._listing.made_lines()
        lines.seek(self._position)
        data = lines.read(len(buffer))
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)


class _Lines:
    """Makes the lines of a listing."""

    def __init__(self, listing: Listing, counts: Counter[str]) -> None:
        self._listing, self._counts, self._tree = listing, counts, listing.tree()
        self._is_folder = listing.kind == "folder"

    def made(self) -> Iterator[tuple[dict[str, str], str]]:
        """Record and fault of every video."""
        try:
            index = MemberIndex(self._tree.members())
        except AnimaticError as error:
            if not self._listing.is_one_of_several:
                raise
            yield {"line": self._listing.name}, str(error)
            return
        self._counts["videos"] = len(index)
        self._counts["names that occur again, of which the first counts"] = index.repeated
        for batch in in_batches(index.videos(by_name=self._is_folder), _BATCH):
            batch = [member for member in batch if not self._is_rung(member, index)]
            good = [member for member in batch if not member.fault]
            rows = iter(self._rows(good, index))
            for member in batch:
                if not member.fault:
                    yield next(rows)
                    continue
                self._counts["members that cannot be read"] += 1
                yield {"line": f"{self._listing.name}: {member.name}"}, member.fault

    def _rows(self, videos: list[Member], index: MemberIndex) -> Iterator[tuple[dict[str, str], str]]:
        addresses = self._tree.addresses(videos, self._listing.url)
        described = self._described(videos, index)
        for member, address, sidecar in zip(videos, addresses, described, strict=True):
            if isinstance(address, ValueError):
                yield {"line": f"{self._listing.name}: {member.name}"}, str(address)
                continue
            key = stem_of(member.name)
            record = {name: cell for name, cell in sidecar.columns.items() if name not in _RESERVED}
            record |= {
                "videoid": f"{self._listing.prefix}{key}",
                "name": sidecar.caption or self._class_caption(member),
                "contentUrl": address,
                "bytes": str(member.size),
            }
            if sidecar.times:
                record["timestamp"] = sidecar.times
            yield record, sidecar.fault

    def _described(self, videos: list[Member], index: MemberIndex) -> list[Described]:
        """What the sidecars of each video say: the caption of the first that has one, the fields of JSON."""
        if self._listing.settings.captions not in ("auto", "sidecar"):
            return [Described()] * len(videos)
        found = [self._sidecars(member, index) for member in videos]
        contents = iter(self._tree.texts([sidecar for sidecars in found for sidecar in sidecars]))
        described = []
        for sidecars in found:
            parts = [described_by(suffix_of(sidecar.name), next(contents)) for sidecar in sidecars]
            first = next((part for part in parts if part.caption or part.fault), Described())
            columns = next((part.columns for part in parts if part.columns), {})
            described.append(Described(first.caption, first.times, columns, first.fault))
        return described

    def _sidecars(self, member: Member, index: MemberIndex) -> list[Member]:
        own = index.sidecars(stem_of(member.name))
        return own or ([] if self._is_folder else index.sidecars(shard_key(member.name)))

    def _class_caption(self, member: Member) -> str:
        if self._listing.settings.captions not in ("auto", "class"):
            return ""
        caption = class_caption(member.name)
        self._counts["captions from names of folders"] += bool(caption)
        return caption

    def _is_rung(self, member: Member, index: MemberIndex) -> bool:
        """Whether a member of a shard is a further size of another one: KEY.512.mp4 beside KEY.mp4."""
        key = shard_key(member.name)
        if self._is_folder or key == stem_of(member.name) or index.with_stem(key) is None:
            return False
        self._counts["further videos of the same key, which are left out"] += 1
        return True


def _checked(record: dict[str, str], fault: str) -> Line:
    if is_storable("".join(record)) and is_storable("".join(record.values())):
        return Line(record, fault)
    return Line(escaped(record), fault or "a name or caption that cannot be stored")
