"""A folder on a disk or in an object store, in which a file is either complete or absent."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import BinaryIO, TypedDict, cast

import fsspec
from fsspec.implementations.local import LocalFileSystem

from core.errors import AnimaticError, TemporaryError
from core.files import atomic_file, create_file, remove_partials, sha256_of, sync
from core.store_errors import PROGRAMMING_ERRORS, is_final
from core.stored_digest import agrees
from core.urls import with_plain_scheme

# In a folder that a job writes to: see core.lock; and core.fencing.
LOCK, WRITERS = ".lock", ".writers"
_SCRATCH = ".scratch"


class StoreError(AnimaticError, OSError):
    """A disk or an object store that refuses, fails or does not answer."""


class UnavailableError(TemporaryError, StoreError):
    """An object store that does not answer, or fails in a way that may pass."""


class _Entry(TypedDict):
    """What fsspec reports about one file or folder."""

    name: str
    type: str
    size: int


class Folder:
    """One folder behind a local path or an fsspec URL (``s3://…``, ``gs://…``, ``file://…``).

    File names are relative to the folder and may contain subfolders, which are created when a file is
    written. A folder holds no open files: it can be pickled and shared between threads. All methods raise
    StoreError for what cannot be read or written.
    """

    def __init__(self, url: str | Path) -> None:
        """Open nothing yet. Raises AnimaticError for a URL of an unknown kind."""
        self.url = str(url)
        try:
            # Cached listings would hide what other processes write.
            self._fs, root = fsspec.core.url_to_fs(with_plain_scheme(self.url), use_listings_cache=False)
        except (ValueError, ImportError, *PROGRAMMING_ERRORS) as error:
            # The latter from protocols whose URLs need more than this one has, as github://org:repo@branch.
            raise AnimaticError(f"{self.url} cannot be opened: {error}") from error
        self._root = str(root).rstrip("/")
        self._local = isinstance(self._fs, LocalFileSystem)

    def __str__(self) -> str:
        return self.url

    @property
    def local_path(self) -> Path | None:
        """The folder as a local path, or None in an object store."""
        return Path(self._root) if self._local else None

    def exists(self, name: str) -> bool:
        """Whether there is a file of this name."""
        try:
            with self._store_errors(name):
                return bool(self._fs.info(self._path(name))["type"] == "file")
        except FileNotFoundError:
            return False

    def size(self, name: str) -> int | None:
        """Bytes in the file, or None if there is no such file."""
        try:
            with self._store_errors(name):
                return int(self._fs.size(self._path(name)))
        except FileNotFoundError:
            return None

    def agrees(self, name: str, path: Path) -> bool | None:
        """Whether the file's digest, as the store reports it, is that of a local file: see
        :func:`core.stored_digest.agrees`. Raises FileNotFoundError."""
        with self._store_errors(name):
            info = self._fs.info(self._path(name))
        return agrees(info, path)

    def names(self, subfolder: str = "") -> list[str]:
        """Sorted names of the files and folders right under ``subfolder``; none if it does not exist."""
        return sorted(PurePosixPath(entry["name"]).name for entry in self._entries(subfolder))

    def subfolders(self) -> list[str]:
        """Sorted names of the folders right in this folder."""
        folders = (entry for entry in self._entries("") if entry["type"] == "directory")
        return sorted(PurePosixPath(entry["name"].rstrip("/")).name for entry in folders)

    def sizes(self) -> dict[str, int]:
        """Bytes of every file right in this folder, by name, in one listing."""
        files = (entry for entry in self._entries("") if entry["type"] == "file")
        return {PurePosixPath(file["name"]).name: int(file["size"]) for file in files}

    def tree(self, subfolder: str = "") -> dict[str, int]:
        """Bytes of every file under ``subfolder`` and in its subfolders, by their names from there on."""
        path = self._path(subfolder).rstrip("/")
        self._fs.invalidate_cache(path)
        with self._store_errors(subfolder):
            found = cast(dict[str, _Entry], self._fs.find(path, detail=True))
        files = {PurePosixPath(name): int(entry["size"]) for name, entry in found.items()}
        # The file system of memory names its files from a root on.
        root = PurePosixPath(self._fs._strip_protocol(path))
        return {name.relative_to(root).as_posix(): size for name, size in files.items() if name != root}

    def sha256(self, name: str) -> str:
        """Digest of the file's content, in hex, read in parts. Raises FileNotFoundError."""
        with self._store_errors(name), self._fs.open(self._path(name), "rb") as file:
            return sha256_of(cast(BinaryIO, file))

    def read(self, name: str) -> bytes:
        """The whole file. Raises FileNotFoundError."""
        with self._store_errors(name):
            return bytes(self._fs.cat_file(self._path(name)))

    def read_all(self, names: Sequence[str]) -> list[bytes]:
        """Whole files in the order of ``names``, many at a time where a store allows it.

        Raises FileNotFoundError.
        """
        if self._local:
            return [self.read(name) for name in names]
        if not names:
            return []
        paths = [self._path(name) for name in names]
        with self._store_errors(names[0]):
            contents = cast(dict[str, bytes], self._fs.cat(paths))
        return [contents[path] for path in paths]

    def read_range(self, name: str, offset: int, size: int) -> bytes:
        """``size`` bytes from ``offset`` on, fewer at the end of the file. Raises FileNotFoundError."""
        with self._store_errors(name):
            if not self._local:
                return bytes(self._fs.cat_file(self._path(name), start=offset, end=offset + size))
            with Path(self._path(name)).open("rb", buffering=0) as file:
                return os.pread(file.fileno(), size, offset)

    def fetch(self, name: str, to: Path) -> None:
        """Copy the file to a local path. Raises FileNotFoundError."""
        with self._store_errors(name):
            self._fs.get_file(self._path(name), str(to))

    @contextlib.contextmanager
    def open(self, name: str) -> Iterator[BinaryIO]:
        """The file, opened for reading. Raises FileNotFoundError."""
        with self._store_errors(name):
            opened = self._fs.open(self._path(name), "rb")
        with opened as file:
            yield cast(BinaryIO, file)

    @contextlib.contextmanager
    def creating(self, name: str) -> Iterator[Path]:
        """A partial local file; it becomes ``name``, durably, when the block ends without an error."""
        with contextlib.ExitStack() as stack:
            if self._local:
                with self._store_errors(name):
                    partial = stack.enter_context(atomic_file(Path(self._path(name))))
                yield partial
                with self._store_errors(name):
                    stack.close()
            else:
                partial = stack.enter_context(self.scratch()) / PurePosixPath(name).name
                yield partial
                with self._store_errors(name):
                    self._fs.put_file(str(partial), self._path(name))

    def store(self, name: str, path: Path) -> None:
        """Create or replace the file by a copy of a local one, atomically and durably."""
        if self._local:
            with self.creating(name) as partial, self._store_errors(name):
                shutil.copyfile(path, partial)
        else:
            with self._store_errors(name):
                self._fs.put_file(str(path), self._path(name))

    def write(self, name: str, data: bytes) -> None:
        """Create or replace the file, atomically and durably."""
        with self.creating(name) as partial, self._store_errors(name):
            partial.write_bytes(data)

    def create(self, name: str, data: bytes) -> None:
        """Create a file that does not exist, atomically and durably; of several writers one succeeds.

        Only for stores whose file system sends the condition: s3, gs and az do.

        Raises:
            FileExistsError: the file exists.
        """
        existing: FileExistsError | None = None
        with self._store_errors(name):
            try:
                if self._local:
                    create_file(Path(self._path(name)), data)
                else:
                    self._fs.pipe_file(self._path(name), data, mode="create")
            except FileExistsError as error:
                existing = error
        if existing is not None:
            raise existing

    def remove(self, name: str) -> None:
        """Delete the file durably; nothing if there is none."""
        with contextlib.suppress(FileNotFoundError), self._store_errors(name):
            self._fs.rm_file(self._path(name))
            if self._local:
                sync(Path(self._path(name)).parent)

    def remove_tree(self, subfolder: str) -> None:
        """Delete a subfolder with everything in it; nothing if there is none."""
        with contextlib.suppress(FileNotFoundError), self._store_errors(subfolder):
            self._fs.rm(self._path(subfolder), recursive=True)
            if self._local:
                sync(Path(self._path(subfolder)).parent)

    def abort_uploads(self, subfolder: str) -> None:
        """Delete what killed writers have sent to S3 of files in a subfolder; no one may be writing there.

        These parts are in no listing, but are paid for. Other stores discard them after some days.
        """
        if "s3" not in self._fs.protocol:
            return
        bucket, _, prefix = self._path(subfolder).partition("/")
        with self._store_errors(subfolder):
            answer = self._fs.call_s3("list_multipart_uploads", Bucket=bucket, Prefix=f"{prefix}/")
            for upload in answer.get("Uploads", []):
                self._fs.abort_mpu(bucket, upload["Key"], upload["UploadId"])

    @contextlib.contextmanager
    def scratch(self) -> Iterator[Path]:
        """A temporary local folder, on the same disk if this folder is local; deleted afterwards."""
        parent = Path(self._path(_SCRATCH)) if self._local else None
        if parent is not None:
            parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="animatic-", dir=parent) as scratch:
            yield Path(scratch)

    def remove_leftovers(self) -> None:
        """Delete what killed writers left in a local folder. Call it only while nothing writes there.

        Subfolders and theirs are included, except those that have a lock of their own.
        """
        path = self.local_path
        if path is None or not path.is_dir():
            return
        shutil.rmtree(path / _SCRATCH, ignore_errors=True)
        _remove_partials_below(path, levels=2)

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    def _entries(self, subfolder: str) -> list[_Entry]:
        path = self._path(subfolder).rstrip("/")
        self._fs.invalidate_cache(path)
        try:
            with self._store_errors(subfolder):
                entries = cast(list[_Entry], self._fs.ls(path, detail=True))
        except FileNotFoundError:
            return []
        # A folder that was created at a store's console is an empty object that lists itself.
        return [entry for entry in entries if entry["name"].rstrip("/") != path]

    @contextlib.contextmanager
    def _store_errors(self, name: str) -> Iterator[None]:
        """Turn errors of the file system into StoreError; programming errors are raised as they are."""
        try:
            yield
        except (FileNotFoundError, *PROGRAMMING_ERRORS):
            raise
        except Exception as error:  # the libraries of stores have types of their own
            if self._local and not isinstance(error, OSError):
                raise
            reason = getattr(error, "strerror", None) or error or type(error).__name__
            kind = StoreError if self._local or is_final(error) else UnavailableError
            raise kind(f"{self.url}/{name}: {reason}") from error


def _remove_partials_below(folder: Path, levels: int) -> None:
    remove_partials(folder)
    for subfolder in folder.iterdir() if levels else ():
        if subfolder.is_dir() and not any((subfolder / name).exists() for name in (LOCK, WRITERS)):
            _remove_partials_below(subfolder, levels - 1)
