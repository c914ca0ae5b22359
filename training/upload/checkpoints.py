"""Checkpoints in a remote folder: each is complete or does not exist.

A checkpoint is a folder below ``checkpoints/``, named after its step and the digest of its manifest. Files
are uploaded first, the manifest last. Since the name follows from the content, an upload that was interrupted
goes on where it ended, and two machines never write different files of one name.
"""

import hashlib
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from core.errors import AnimaticError
from core.fencing import Number
from core.storage import StoreError
from training.checkpoints import (
    MANIFEST,
    Manifest,
    Retention,
    UnknownFormatError,
    find_damage,
    parse_manifest,
    read_manifest,
)
from training.upload.folder import RemoteFolder

logger = logging.getLogger(__name__)

FOLDER = "checkpoints"
_DIGITS = 16  # of the digest, in the name of a folder
_NAME = re.compile(rf"step-(\d+)-[0-9a-f]{{{_DIGITS}}}")


@dataclass(frozen=True)
class RemoteCheckpoint:
    """A checkpoint whose manifest is in a remote folder.

    Attributes:
        name: of its folder, relative to the remote folder.
        digest: of its manifest.
        damage: what is missing of its files, by their sizes; None for nothing.
    """

    name: str
    manifest: Manifest
    digest: str
    damage: str | None

    @property
    def step(self) -> int:
        """After which it was written."""
        return self.manifest.step


class RemoteCheckpoints:
    """The checkpoints of one run in a remote folder. All methods raise StoreError."""

    def __init__(self, folder: RemoteFolder) -> None:
        self._folder = folder
        # By folder: what is in a folder of one name never changes.
        self._known: dict[str, tuple[Manifest, str]] = {}

    def url(self, name: str) -> str:
        """Of a checkpoint's folder, without credentials."""
        return f"{self._folder}/{name}"

    def listed(self) -> list[RemoteCheckpoint]:
        """All checkpoints with a readable manifest, damaged ones included, oldest first.

        Raises UnknownFormatError for one of a later version.
        """
        found = []
        for name, files in self._folders().items():
            known = self._manifest(name) if MANIFEST in files else None
            if known is not None:
                found.append(RemoteCheckpoint(name, *known, _damage(known[0], files)))
        return sorted(found, key=_age)

    def find_damage(self, checkpoint: RemoteCheckpoint) -> str | None:
        """What is wrong with a checkpoint, whose files are read; None where it is as it was written."""
        for name, written in checkpoint.manifest.files.items():
            try:
                found = self._folder.sha256(f"{checkpoint.name}/{name}")
            except FileNotFoundError:
                return f"{name} is missing"
            if found != written.sha256:
                return f"{name} does not match its recorded sha256"
        return None

    def upload(self, path: Path, before_commit: Callable[[], None]) -> str:
        """Upload a checkpoint, its manifest last; the name of its folder.

        What is there already, from an upload that was interrupted, is not uploaded again.

        Args:
            before_commit: called before the manifest is uploaded; what it raises ends the upload.

        Raises FileNotFoundError where a file of the checkpoint is missing.
        """
        manifest = read_manifest(path)
        content = (path / MANIFEST).read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        name = f"{FOLDER}/step-{manifest.step:08d}-{digest[:_DIGITS]}"
        there = self._folder.list(name)
        if MANIFEST in there and _damage(manifest, there) is None:
            return name
        for file in sorted(manifest.files):
            if there.get(file) is None or not self._folder.has(f"{name}/{file}", path / file):
                self._folder.put(f"{name}/{file}", path / file)
        before_commit()
        self._folder.put(f"{name}/{MANIFEST}", path / MANIFEST)
        damage = _damage(manifest, self._folder.list(name))
        if damage is not None:
            raise StoreError(f"{self.url(name)}: {damage} after the upload")
        return name

    def delete_old(
        self, uploaded: str, retention: Retention, before_delete: Callable[[], None] = lambda: None
    ) -> None:
        """Delete what is not to be kept, once a checkpoint was uploaded, and what interrupted uploads left.

        Args:
            uploaded: folder of the checkpoint that was just uploaded and is complete: it always stays.
            before_delete: called once what is to be deleted is known: what a later writer begins after that
                is not part of it.
        """
        checkpoints = self.listed()
        usable = [checkpoint for checkpoint in checkpoints if checkpoint.damage is None]
        if uploaded not in {checkpoint.name for checkpoint in usable}:
            return
        old = {usable[index].name for index in retention.superfluous([each.step for each in usable])}
        old |= self._folders().keys() - {checkpoint.name for checkpoint in usable}
        before_delete()
        for name in sorted(old - {uploaded}):
            self.delete(name)

    def delete(self, name: str) -> None:
        """Delete a checkpoint; without its manifest it no longer exists even if the rest is interrupted."""
        self._folder.delete(f"{name}/{MANIFEST}")
        self._folder.delete_tree(name)

    def limit_patience(self, patience_s: float) -> None:
        """See :meth:`RemoteFolder.limit_patience`."""
        self._folder.limit_patience(patience_s)

    def abort_uploads(self) -> None:
        """Delete parts of files that killed uploads have sent."""
        self._folder.abort_uploads(FOLDER)

    def download(
        self, checkpoint: RemoteCheckpoint, folder: Path, on_file: Callable[[], None] = lambda: None
    ) -> str | None:
        """Copy a checkpoint into an empty local folder, its manifest last, and verify it.

        ``on_file``: called after each file.

        Returns what is wrong with the copy; None when it is complete and as it was written.

        Raises OSError, as the local disk does.
        """
        for file in sorted(checkpoint.manifest.files):
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            try:
                self._folder.get(f"{checkpoint.name}/{file}", folder / file)
            except FileNotFoundError:
                return f"{file} is missing"
            on_file()
        self._folder.get(f"{checkpoint.name}/{MANIFEST}", folder / MANIFEST)
        return find_damage(folder)

    def _folders(self) -> dict[str, dict[str, int]]:
        """Bytes of every file by its name in its checkpoint's folder, by the name of that."""
        folders: dict[str, dict[str, int]] = {}
        for path, size in self._folder.list(FOLDER).items():
            folder, _, file = path.partition("/")
            if _NAME.fullmatch(folder):
                folders.setdefault(f"{FOLDER}/{folder}", {})[file] = size
        return folders

    def _manifest(self, name: str) -> tuple[Manifest, str] | None:
        """Manifest and its digest; None where it is unreadable, or was deleted since it was listed."""
        if name not in self._known:
            try:
                content = self._folder.read(f"{name}/{MANIFEST}")
            except FileNotFoundError:
                return None
            try:
                manifest = parse_manifest(content, self.url(name))
            except UnknownFormatError:
                raise
            except AnimaticError as error:
                logger.warning("%s", error)
                return None
            self._known[name] = manifest, hashlib.sha256(content).hexdigest()
        return self._known[name]


def _damage(manifest: Manifest, files: dict[str, int]) -> str | None:
    """Which file is missing or of another size; None for none."""
    for name, written in manifest.files.items():
        if files.get(name) != written.bytes:
            return f"{name} has {files.get(name, 'no')} bytes instead of {written.bytes}"
    return None


def _age(checkpoint: RemoteCheckpoint) -> tuple[int, Number, str]:
    number = Number.parse(checkpoint.manifest.attempt or "")
    return checkpoint.step, number or Number(0, 0), checkpoint.name


def newest_usable(
    checkpoints: RemoteCheckpoints, after: tuple[int, int], before: int | None, warn: Callable[[str], None]
) -> list[RemoteCheckpoint]:
    """Checkpoints that a run can go on from, newest first.

    Args:
        after: round (see :func:`round_of`) and step of the newest local one: only later ones are of use.
        before: only those of an earlier step; None for any.
        warn: called for each that is left out because files are missing.

    Raises StoreError, and UnknownFormatError for one of a later version.
    """
    found = []
    for checkpoint in checkpoints.listed():
        order = round_of(checkpoint.manifest), checkpoint.step
        if order <= after or (before is not None and checkpoint.step >= before):
            continue
        if checkpoint.damage is not None:
            warn(f"checkpoint {checkpoints.url(checkpoint.name)} is damaged and skipped: {checkpoint.damage}")
        else:
            found.append(checkpoint)
    return sorted(found, key=lambda each: (round_of(each.manifest), *_age(each)), reverse=True)


def round_of(manifest: Manifest) -> int:
    """How often the run had been rolled back before a checkpoint: later steps of earlier rounds are void."""
    return int(manifest.counters.get("guard/round") or 0)
