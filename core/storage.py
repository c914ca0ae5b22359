"""A folder on a disk or in an object store, written so that a file is either whole or absent."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

import fsspec
from fsspec.implementations.local import LocalFileSystem

from core.errors import AnimaticError
from core.files import atomic_file, remove_partials, sync


class StoreError(AnimaticError, OSError):
    """A disk or an object store that refuses, fails or does not answer."""


class Folder:
    """One folder behind a path or an fsspec URL (``s3://…``, ``gs://…``, ``file://…``).

    Holds no open files, so it can be pickled and shared between threads. All methods raise StoreError where
    the place cannot be read or written, and AnimaticError comes of a URL that nothing here can open.
    """

    def __init__(self, url: str | Path) -> None:
        self.url = str(url)
        # Cached listings would hide what other processes write.
        try:
            self._fs, root = fsspec.core.url_to_fs(self.url, use_listings_cache=False)
        except (ValueError, ImportError) as error:
            raise AnimaticError(f"{self.url} cannot be opened: {error}") from error
        self._root = str(root).rstrip("/")
        self._local = isinstance(self._fs, LocalFileSystem)

    def __str__(self) -> str:
        return self.url

    @property
    def local_path(self) -> Path | None:
        """The folder as a local path, or None in an object store."""
        return Path(self._root) if self._local else None

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    @contextlib.contextmanager
    def _asking(self, name: str) -> Iterator[None]:
        """Turn what a file system raises, and stores' libraries have types of their own, into StoreError."""
        try:
            yield
        except FileNotFoundError:
            raise
        except Exception as error:
            if self._local and not isinstance(error, OSError):
                raise
            reason = getattr(error, "strerror", None) or error or type(error).__name__
            raise StoreError(f"{self.url}/{name}: {reason}") from error

    def exists(self, name: str) -> bool:
        """Whether the file is there."""
        try:
            with self._asking(name):
                return bool(self._fs.info(self._path(name))["type"] == "file")
        except FileNotFoundError:
            return False

    def size(self, name: str) -> int | None:
        """Bytes in the file, or None if there is no such file."""
        try:
            with self._asking(name):
                return int(self._fs.size(self._path(name)))
        except FileNotFoundError:
            return None

    def names(self, folder: str = "") -> list[str]:
        """Sorted names of the entries right under ``folder``; empty if it is not there."""
        return sorted(Path(str(entry["name"])).name for entry in self._entries(folder))

    def sizes(self) -> dict[str, int]:
        """Bytes of every file right in this folder, by name, in one listing."""
        files = (entry for entry in self._entries("") if entry["type"] == "file")
        return {Path(str(file["name"])).name: int(file["size"]) for file in files}

    def _entries(self, folder: str) -> list[dict[str, Any]]:
        path = self._path(folder).rstrip("/")
        self._fs.invalidate_cache(path)
        try:
            with self._asking(folder):
                entries = self._fs.ls(path, detail=True)
        except FileNotFoundError:
            return []
        # A folder made at a store's console is an empty object that lists itself.
        return [entry for entry in entries if str(entry["name"]).rstrip("/") != path]

    def read(self, name: str) -> bytes:
        """The whole file. Raises FileNotFoundError."""
        with self._asking(name):
            return bytes(self._fs.cat_file(self._path(name)))

    def read_range(self, name: str, offset: int, size: int) -> bytes:
        """``size`` bytes from ``offset`` (fewer at the end of the file). Raises FileNotFoundError."""
        with self._asking(name):
            if not self._local:
                return bytes(self._fs.cat_file(self._path(name), start=offset, end=offset + size))
            with Path(self._path(name)).open("rb", buffering=0) as file:
                return os.pread(file.fileno(), size, offset)

    def fetch(self, name: str, to: Path) -> None:
        """Copy the file to a local path. Raises FileNotFoundError."""
        with self._asking(name):
            self._fs.get_file(self._path(name), str(to))

    @contextlib.contextmanager
    def open(self, name: str) -> Iterator[BinaryIO]:
        """The file opened for reading bytes. Raises FileNotFoundError."""
        with self._asking(name):
            opened = self._fs.open(self._path(name), "rb")
        with opened as file:
            yield cast(BinaryIO, file)

    @contextlib.contextmanager
    def creating(self, name: str) -> Iterator[Path]:
        """A local path to write to; on leaving without an error it becomes ``name``, whole and durable."""
        if not self._local:
            with tempfile.TemporaryDirectory(prefix="animatic-") as scratch:
                yield Path(scratch) / "part"
                with self._asking(name):
                    self._fs.put_file(str(Path(scratch) / "part"), self._path(name))
            return
        with contextlib.ExitStack() as stack:
            with self._asking(name):
                part = stack.enter_context(atomic_file(Path(self._path(name))))
            yield part

    def write(self, name: str, data: bytes) -> None:
        """Put ``data`` at ``name`` atomically and durably."""
        with self.creating(name) as part:
            part.write_bytes(data)

    def remove(self, name: str) -> None:
        """Delete the file, durably, if it is there."""
        with contextlib.suppress(FileNotFoundError), self._asking(name):
            self._fs.rm_file(self._path(name))
            if self._local:
                sync(Path(self._path(name)).parent)

    @contextlib.contextmanager
    def scratch(self) -> Iterator[Path]:
        """A local folder for passing files, on the same disk if this folder is local; gone afterwards."""
        parent = Path(self._path(".scratch")) if self._local else None
        if parent is not None:
            parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="animatic-", dir=parent) as scratch:
            yield Path(scratch)

    def remove_leftovers(self) -> None:
        """Delete what killed writers left behind. Call it only while nobody else writes here."""
        if self._local:
            shutil.rmtree(self._path(".scratch"), ignore_errors=True)
            for folder in (self._root, self._path("units")):
                remove_partials(Path(folder))
