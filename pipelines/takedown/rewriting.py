"""A unit's tar replaced by one with fewer samples, so that whatever stops it, the unit can be completed.

First the next manifest is stored under another name, then the tar is replaced, then the manifest. A tar thus
matches one of both manifests at every moment, and nothing that is not stored is needed to continue.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO, TypeVar, cast

from core.canonical_json import canonical_json
from core.files import sha256_of
from core.storage import Folder
from pipelines.dataset.record_files import parse_record
from pipelines.dataset.records import ShardRecord
from pipelines.dataset.shard_writer import ShardWriter
from pipelines.dataset.units import committed_units, opened_shard, unit_name

M = TypeVar("M", bound=Mapping[str, object])

_PREFIX = "next-"


def rewrite_unit(
    folder: Folder,
    unit: int,
    shard: ShardRecord,
    fill: Callable[[BinaryIO, ShardWriter], M],
    *,
    scratch: Path,
    remedy: str,
    before_tar: Callable[[M], None] = lambda manifest: None,
) -> M:
    """Replace tar and manifest of a unit; returns the new manifest.

    ``fill`` copies samples from the old tar, finishes the new one and returns its manifest; ``before_tar`` is
    called with it before the tar is replaced.

    Raises AnimaticError, with the ``remedy``, if the old tar does not match its record, ``shard``.
    """
    with opened_shard(folder, shard, scratch, remedy) as tar, folder.creating(shard["name"]) as part:
        with ShardWriter(part, shard["name"]) as writer:
            manifest = fill(tar, writer)
        content = canonical_json(manifest)
        folder.write(_next_name(unit), content)
        before_tar(manifest)
    folder.write(unit_name(unit), content)
    folder.remove(_next_name(unit))
    return manifest


def complete_units(folder: Folder, schema: type[M]) -> None:
    """Complete the units whose tar was replaced when :func:`rewrite_unit` was stopped.

    Raises AnimaticError if a manifest is damaged.
    """
    for name in folder.names("units"):
        if not name.startswith(_PREFIX):
            continue
        stored = f"units/{name}"
        content = folder.read(stored)
        manifest = parse_record(schema, content, f"{folder}/{stored}", "delete it and run the takedown again")
        shard = cast(ShardRecord, manifest["shard"])
        if _digest(folder, shard["name"]) == shard["sha256"]:
            folder.write(unit_name(cast(int, manifest["unit"])), content)
        folder.remove(stored)


def remove_uncommitted(folder: Folder, shard_name: Callable[[int], str]) -> None:
    """Delete the tars of units without a manifest, as jobs that were killed left them; jobs write them again.

    ``shard_name``: of a unit's tar.
    """
    prefix, suffix = shard_name(0).split("000000")
    committed = committed_units(folder)
    for name in folder.names():
        number = name.removeprefix(prefix).removesuffix(suffix)
        if name == f"{prefix}{number}{suffix}" and number.isdecimal() and int(number) not in committed:
            folder.remove(name)


def _next_name(unit: int) -> str:
    return f"units/{_PREFIX}{unit:06d}.json"


def _digest(folder: Folder, name: str) -> str | None:
    try:
        with folder.open(name) as file:
            return sha256_of(file)
    except FileNotFoundError:
        return None
