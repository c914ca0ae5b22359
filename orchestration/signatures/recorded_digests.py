"""The digests of a bundle's files, for the signing library in place of reading the files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

from model_signing import hashing, manifest
from model_signing._hashing.hashing import Digest  # no public name; the library's version is bounded

from models.bundle import SIGNATURE


class RecordedDigests(hashing.Config):
    """A configuration whose digests are known, since opening the bundle has just computed them.

    The library's own defaults verify a signature made with it, too, since it records that the signature's
    file is not part of the model.
    """

    def __init__(self, name: str, files: Mapping[str, str]) -> None:
        super().__init__()
        self._name, self._files = name, dict(files)

    def hash(
        self, model_path: hashing.PathLike, *, files_to_hash: Iterable[hashing.PathLike] | None = None
    ) -> manifest.Manifest:
        """The manifest of the recorded digests; nothing is read."""
        how = manifest.SerializationType.from_args(
            {"method": "files", "hash_type": "sha256", "allow_symlinks": False, "ignore_paths": [SIGNATURE]}
        )
        items = [
            manifest.FileManifestItem(
                path=PurePosixPath(name), digest=Digest("sha256", bytes.fromhex(digest))
            )
            for name, digest in self._files.items()
        ]
        return manifest.Manifest(self._name, items, how)
