"""The manifest of a checkpoint: what it belongs to, and the size and digest of each of its files."""

import errno
import json
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from core.errors import AnimaticError
from core.files import sha256, write_text

MANIFEST = "manifest.json"
# 1: files of DeepSpeed, for as many processes with the same ZeRO stage. 2: shards of named tensors, for any.
FORMATS = (1, 2)
FORMAT: Literal[2] = 2


class UnknownFormatError(AnimaticError):
    """A checkpoint in a format of another version."""


class CheckpointIdentity(BaseModel):
    """What two runs have in common when one may continue the other's checkpoints.

    Attributes:
        trajectory: hash of the settings that decide each step's weights.
        dataset: digest of the data.
        base, parent: ids of the bundles that the initial weights came from.
        continued: digest of the checkpoint of another run that this run continues, if any.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    trajectory: str
    dataset: str
    base: str | None
    parent: str | None
    continued: str | None = None


class Layout(NamedTuple):
    """How the processes of a run share its state. Checkpoints of format 2 can be read with any other.

    Attributes:
        trajectory_1: trajectory hash of the run in checkpoints of format 1.
    """

    world_size: int
    zero_stage: int
    precision: str
    trajectory_1: str = ""

    def change_from(self, manifest: "Manifest") -> str | None:
        """Who wrote a checkpoint and who continues it, in words; None where their layouts are equal."""
        before, stage = manifest.world_size, manifest.zero_stage
        if stage is None or (before, stage) == (self.world_size, self.zero_stage):
            return None
        return (
            f"written by {before} {_workers(before)} with ZeRO stage {stage}, continued by {self.world_size} "
            f"{_workers(self.world_size)} with ZeRO stage {self.zero_stage}"
        )


class FileRecord(BaseModel):
    """A file as it was written."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bytes: int
    sha256: str

    @classmethod
    def of(cls, path: Path) -> "FileRecord":
        """Size and digest of a file."""
        return cls(bytes=path.stat().st_size, sha256=sha256(path))


class Manifest(CheckpointIdentity):
    """Content of ``manifest.json``, which is written last: a checkpoint exists only with it.

    Attributes:
        step: after which the checkpoint was written.
        time: when, in seconds since 1970; None in format 1.
        world_size: number of processes that wrote it.
        zero_stage, precision: with which they did; None in format 1.
        counters: of all states, by key; empty in format 1.
        files: by path relative to the checkpoint's folder.
        attempt: number of the start of the run's processes that wrote it; None in those of earlier versions.
    """

    # Later versions may record more about a checkpoint that this one can still load.
    model_config = ConfigDict(frozen=True, extra="ignore")

    format: Literal[1, 2] = FORMAT
    step: int
    time: float | None = None
    world_size: int
    zero_stage: int | None = None
    precision: str | None = None
    counters: dict[str, int | float | str | bool | None] = {}
    files: dict[str, FileRecord]
    attempt: str | None = None

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.bytes for file in self.files.values())

    def differences(self, identity: CheckpointIdentity, layout: Layout) -> list[str]:
        """Names of what is not as in ``identity``; ``layout`` has the trajectory to compare format 1 with."""
        expected = identity.model_dump()
        if self.format == 1:
            expected["trajectory"] = layout.trajectory_1
        return [name for name, value in expected.items() if getattr(self, name) != value]


def _workers(count: int) -> str:
    return "worker" if count == 1 else "workers"


class _Format(BaseModel):
    """The part of a manifest that every version reads. Manifests without it are of the first format."""

    format: int = 1


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest of a checkpoint whose other files are complete."""
    # Left out where it is None, as in manifests of earlier versions.
    excluded = {name for name in ("continued", "attempt") if getattr(manifest, name) is None}
    write_text(folder / MANIFEST, manifest.model_dump_json(indent=1, exclude=excluded))


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a checkpoint.

    Raises UnknownFormatError for another format, and AnimaticError when it is missing or unreadable.
    """
    path = folder / MANIFEST
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise AnimaticError(f"{path} is missing") from error
    except OSError as error:
        raise AnimaticError(f"{path} is unreadable: {error}") from error
    return parse_manifest(content, folder)


def parse_manifest(content: bytes, folder: Path | str) -> Manifest:
    """The manifest in the file of a checkpoint.

    Args:
        folder: path or URL of the checkpoint, for messages.

    Raises UnknownFormatError for another format, and AnimaticError when it is unreadable.
    """
    try:
        written = _Format.model_validate_json(content).format
        if written not in FORMATS:
            raise UnknownFormatError(
                f"checkpoint {folder} has format {written}, this version of animatic reads formats "
                f"{' and '.join(map(str, FORMATS))}: resume with the version that wrote it, or choose "
                "another run folder"
            )
        return Manifest.model_validate({"format": 1} | json.loads(content))
    except ValidationError as error:
        raise AnimaticError(f"{folder}/{MANIFEST} is unreadable: {str(error).splitlines()[0]}") from error


def find_damage(folder: Path, *, digests: bool = True) -> str | None:
    """What is wrong with a checkpoint; None when it is complete and unchanged.

    Args:
        digests: False compares sizes alone, without reading the files.

    Raises UnknownFormatError: a checkpoint of another version is not damaged, and must not be replaced.
    """
    try:
        manifest = read_manifest(folder)
    except UnknownFormatError:
        raise
    except AnimaticError as error:
        return str(error)
    for name, written in manifest.files.items():
        try:
            damage = _file_damage(folder / name, written, digests)
        except OSError as error:
            if error.errno != errno.EIO:
                raise  # as a permission that lacks: nothing to begin an earlier step for
            damage = f"cannot be read: {error.strerror}"
        if damage is not None:
            return f"{name} {damage}"
    return None


def _file_damage(path: Path, written: FileRecord, digests: bool) -> str | None:
    if not path.is_file():
        return "is missing"
    size = path.stat().st_size
    if size != written.bytes:
        return f"has {size} bytes instead of {written.bytes}"
    return "does not match its recorded sha256" if digests and sha256(path) != written.sha256 else None
