"""Units of work: one tar and one manifest each, made on any machine, independent of all others.

A unit is committed by its manifest, which is written after the tar, atomically. Ingested clips and latents
share this; what their manifests record besides the shard is their own.
"""

import contextlib
import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO, TypeVar

from core.canonical_json import canonical_json
from core.errors import AnimaticError
from core.storage import Folder
from pipelines.dataset.record_files import parse_record
from pipelines.dataset.records import ShardRecord
from pipelines.dataset.shard_writer import ShardWriter

READ_AHEAD = 8

M = TypeVar("M", bound=Mapping[str, object])


def unit_name(unit: int) -> str:
    """Name of the manifest of a unit."""
    return f"units/unit-{unit:06d}.json"


def commit_unit(folder: Folder, unit: int, shard: str, fill: Callable[[ShardWriter], M]) -> M:
    """Write the tar ``shard`` of a unit, then its manifest.

    ``fill`` adds the samples, finishes the shard and returns the manifest, which is also returned here.
    """
    with folder.creating(shard) as part:
        with ShardWriter(part, shard) as writer:
            manifest = fill(writer)
        content = canonical_json(manifest)
        _withdraw_other(folder, unit, content)
    folder.write(unit_name(unit), content)
    return manifest


def _withdraw_other(folder: Folder, unit: int, content: bytes) -> None:
    """Delete a manifest that must not outlive its tar: while the tar is replaced, the unit does not exist.

    An equal manifest stays. A worker whose driver was killed may still make a unit that the next driver has
    found committed, and must not delete it under that driver.
    """
    name = unit_name(unit)
    with contextlib.suppress(FileNotFoundError):
        if folder.read(name) != content:
            folder.remove(name)


@contextlib.contextmanager
def opened_shard(folder: Folder, shard: ShardRecord, scratch: Path, remedy: str) -> Iterator[BinaryIO]:
    """The tar of a unit, copied to ``scratch`` if it is remote.

    Its content stays the same until it is closed, even if the file is replaced meanwhile.
    Raises AnimaticError, with the ``remedy``, if it does not match its record.
    """
    local = folder.local_path
    path = scratch / "shard.tar" if local is None else local / shard["name"]
    try:
        if local is None:
            folder.fetch(shard["name"], path)
        file = path.open("rb")
    except FileNotFoundError as error:
        raise AnimaticError(f"{folder}/{shard['name']} is missing: {remedy}") from error
    with file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != shard["sha256"]:
            raise AnimaticError(
                f"{folder}/{shard['name']} is damaged: its sha256 is {found[:12]}…, not "
                f"{shard['sha256'][:12]}…: {remedy}"
            )
        yield file


def committed_units(folder: Folder) -> set[int]:
    """Units that have a manifest."""
    names = folder.names("units")
    return {int(n[5:-5]) for n in names if n.startswith("unit-") and n.endswith(".json")}


def read_unit(folder: Folder, unit: int, schema: type[M]) -> M:
    """Manifest of a committed unit. Raises AnimaticError if it is missing or damaged."""
    file = f"{folder}/{unit_name(unit)}"
    try:
        content = folder.read(unit_name(unit))
    except FileNotFoundError as error:
        raise AnimaticError(f"{file} is missing; rerun the job that creates it") from error
    return parse_record(schema, content, file, "delete it and rerun the job that creates it")


def read_units(folder: Folder, units: Iterable[int], schema: type[M]) -> Iterator[M]:
    """Manifests in the order given, a few read ahead. Raises AnimaticError."""
    waiting: deque[Future[M]] = deque()
    with ThreadPoolExecutor(READ_AHEAD) as pool:
        for unit in units:
            waiting.append(pool.submit(read_unit, folder, unit, schema))
            if len(waiting) > READ_AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
