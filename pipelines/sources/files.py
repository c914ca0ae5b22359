"""The files of a source: one, a glob's, or a folder's, on a disk or behind any fsspec URL."""

import io
import posixpath
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO, Literal, cast

import fsspec
from fsspec.implementations.local import LocalFileSystem

from core.errors import AnimaticError
from core.files import sha256_of
from core.urls import is_web, without_query

Kind = Literal["csv", "tsv", "jsonl", "parquet"]
KINDS: dict[str, Kind] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
}
STAMPS = ("ETag", "etag", "md5Hash", "LastModified", "last_modified", "updated", "mtime")
BLOCK = 1 << 20


@dataclass(frozen=True)
class SourceFile:
    """One file of the source.

    ``name`` is relative to the source. ``stamp`` changes whenever the file does; it is None where the
    file system keeps nothing of the kind.
    """

    name: str
    path: str
    kind: Kind
    size: int | None
    stamp: str | None
    filesystem: Any

    @contextmanager
    def open(self, digest: Any = None) -> Iterator[BinaryIO]:
        """The decompressed bytes. What is read of the raw ones goes into ``digest``, in the end all of it."""
        with self.filesystem.open(self.path, "rb") as raw:
            if self.kind == "parquet":
                yield raw
                return
            source = io.BufferedReader(_Watched(raw, digest), BLOCK)
            codec = fsspec.utils.infer_compression(without_query(self.path))
            yield fsspec.compression.compr[codec](source, mode="rb") if codec else source
            if digest is not None:
                while source.read(BLOCK):
                    pass

    def sha256(self) -> str:
        """Digest of the raw bytes."""
        with self.filesystem.open(self.path, "rb") as raw:
            return sha256_of(raw)


class _Watched(io.RawIOBase):
    """A file that tells a digest what is read from it."""

    def __init__(self, raw: IO[bytes], digest: Any) -> None:
        self._raw, self._digest = raw, digest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._raw.read(len(buffer))
        buffer[: len(data)] = data
        if self._digest is not None:
            self._digest.update(data)
        return len(data)


def find_files(url: str) -> list[SourceFile]:
    """The files of a source in the order of their names.

    A folder is searched to its depths for tables; names that begin with a dot or an underscore are passed
    over. Raises AnimaticError if nothing is found or the source cannot be read.
    """
    try:
        filesystem, path = fsspec.core.url_to_fs(url, use_listings_cache=False)
        infos = _entries(filesystem, str(path))
    except (OSError, ValueError, ImportError) as error:
        raise AnimaticError(f"the source table {url} cannot be read: {error}") from error
    if not infos:
        raise AnimaticError(f"the source {url} holds no table: nothing in it ends in {', '.join(KINDS)}")
    root = posixpath.dirname(infos[0]["name"]) if len(infos) == 1 else _common(infos)
    return [_file(filesystem, info, root) for info in sorted(infos, key=lambda info: str(info["name"]))]


def _entries(filesystem: Any, path: str) -> list[dict[str, Any]]:
    if is_web(path) or not (set("*?[") & set(path)) or filesystem.exists(path):
        info = filesystem.info(path)
        if info["type"] != "directory":
            return [info]
        found = filesystem.find(path, detail=True)
        return [info for name, info in found.items() if _is_table(posixpath.relpath(name, path))]
    found = filesystem.glob(path, detail=True)
    return [info for info in found.values() if info["type"] == "file"]


def _is_table(name: str) -> bool:
    hidden = any(part.startswith((".", "_")) for part in name.split("/"))
    return not hidden and _suffix(name) in KINDS


def _suffix(name: str) -> str:
    """The ending that tells what a table is, below that of its compression."""
    plain = Path(without_query(name))
    return (plain.with_suffix("") if fsspec.utils.infer_compression(str(plain)) else plain).suffix.lower()


def _common(infos: list[dict[str, Any]]) -> str:
    return posixpath.commonpath([posixpath.dirname(str(info["name"])) for info in infos])


def _file(filesystem: Any, info: dict[str, Any], root: str) -> SourceFile:
    path = str(info["name"])
    if isinstance(filesystem, LocalFileSystem):
        about = Path(path).stat()
        stamp: str | None = f"{about.st_mtime_ns}-{about.st_ctime_ns}-{about.st_ino}"
    else:
        stamp = next((str(info[name]) for name in STAMPS if info.get(name)), None)
    return SourceFile(
        name=posixpath.relpath(path, root) if root else path,
        path=path,
        kind=KINDS.get(_suffix(path), "csv"),
        size=cast("int | None", info.get("size")),
        stamp=stamp,
        filesystem=filesystem,
    )
