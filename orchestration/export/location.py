"""Where exports are: a folder or an object store, with pointers and the exports that they name."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from core.errors import AnimaticError
from core.retry import RetryPolicy
from core.storage import Folder, UnavailableError
from core.urls import is_web, without_credentials
from orchestration.export.records import (
    EXPORTS,
    MANIFEST,
    Manifest,
    Pointer,
    parse,
    pointer_file,
    pointer_name,
)

T = TypeVar("T")
_RETRY = RetryPolicy(attempts=5, pause_s=0.5, jitter=True, on=(UnavailableError,))


@dataclass(frozen=True)
class StoredExport:
    """An export whose manifest is stored; its other files may be missing.

    Attributes:
        folder: relative to the location.
        digest: of the manifest.
    """

    folder: str
    manifest: Manifest
    digest: str


class Location:
    """A folder or URL that contains exports. Every call is repeated while a store does not answer."""

    def __init__(self, url: str) -> None:
        """Open nothing yet. Raises AnimaticError for a URL of an unknown kind."""
        self.folder = Folder(url)

    def __str__(self) -> str:
        return without_credentials(self.folder.url.rstrip("/"))

    def path(self, name: str) -> str:
        """A file of the location, for messages and the ledger."""
        return f"{self}/{name}"

    def check_writable_kind(self) -> None:
        """Raise AnimaticError for an address that nothing can be written to."""
        if is_web(self.folder.url):
            raise AnimaticError(
                f"{self} is an address of the web, which nothing can be written to: name a folder or an "
                "object store (s3://BUCKET/FOLDER)"
            )

    def call(self, work: Callable[[], T]) -> T:
        """The result of ``work``, repeated while the store does not answer.

        Raises:
            StoreError: the store refuses, or still does not answer.
            FileNotFoundError: of ``work``.
        """
        return _RETRY.call(work)

    def read(self, name: str) -> bytes | None:
        """A small file; None if there is none."""
        try:
            return self.call(lambda: self.folder.read(name))
        except FileNotFoundError:
            return None

    def pointer(self, name: str) -> Pointer | None:
        """The pointer of this name; None if there is none.

        Raises:
            AnimaticError: the file of this name is no pointer.
        """
        file = pointer_file(name)
        content = self.read(file)
        return None if content is None else parse(Pointer, content, self.path(file))

    def names(self) -> list[str]:
        """The names of all files that may be pointers, sorted."""
        files = self.call(self.folder.sizes)
        return [name for name in map(pointer_name, sorted(files)) if name is not None]

    def exports(self) -> list[str]:
        """The folders of all exports, whole or not, relative to the location."""
        return [f"{EXPORTS}/{name}" for name in self.call(lambda: self.folder.names(EXPORTS))]

    def stored(self, export: str) -> StoredExport | None:
        """The export in a folder; None without a manifest there.

        Raises:
            AnimaticError: the manifest is damaged, or of a later format.
        """
        content = self.read(f"{export}/{MANIFEST}")
        if content is None:
            return None
        manifest = parse(Manifest, content, self.path(f"{export}/{MANIFEST}"))
        return StoredExport(export, manifest, hashlib.sha256(content).hexdigest())

    def problems(self, export: StoredExport, *, deep: bool) -> list[str]:
        """Files of an export that are missing or not those of its manifest, one line each.

        Args:
            deep: whether to read all bytes; sizes are compared otherwise.
        """
        sizes = self.call(lambda: self.folder.tree(export.folder))
        return [
            problem
            for name, file in export.manifest.files.items()
            if (problem := self._problem(f"{export.folder}/{name}", sizes.get(name), file.bytes))
            or (deep and (problem := self._changed(f"{export.folder}/{name}", file.sha256)))
        ]

    def digest(self, name: str) -> str:
        """Digest of a file's content, read in parts. Raises FileNotFoundError."""
        return self.call(lambda: self.folder.sha256(name))

    def _problem(self, name: str, size: int | None, expected: int) -> str:
        if size is None:
            return f"{self.path(name)} is missing"
        return "" if size == expected else f"{self.path(name)} has {size} bytes instead of {expected}"

    def _changed(self, name: str, expected: str) -> str:
        try:
            found = self.digest(name)
        except FileNotFoundError:
            return f"{self.path(name)} is missing"
        return "" if found == expected else f"{self.path(name)} does not match its recorded sha256"
