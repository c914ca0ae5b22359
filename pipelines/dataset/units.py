"""Units of work: one tar and one manifest each, made on any machine, independent of all others.

A unit is committed by its manifest, which is written after the tar, atomically. Ingested clips and latents
share this; what their manifests record besides the shard is their own.
"""

import contextlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from core.canonical_json import canonical_json
from core.errors import AnimaticError
from core.storage import Folder
from pipelines.dataset.record_files import parse_record
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
