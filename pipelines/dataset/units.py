"""Units of a dataset: one tar and one manifest each, made on any machine, independent of all others.

The manifest goes in place after the tar, atomically, and a unit without a manifest does not exist. All bytes
depend on the source rows, the configuration and the seed alone.
"""

import contextlib
import hashlib
import json
import re
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO

from core.canonical_json import canonical_json
from core.errors import AnimaticError
from core.storage import Folder
from pipelines.dataset.shard_writer import MEMBERS, Sample, ShardWriter, StoredSample

FORMAT = 1
READ_AHEAD = 8


def shard_name(unit: int) -> str:
    """Name of the tar of a unit."""
    return f"shard-{unit:06d}.tar"


def unit_name(unit: int) -> str:
    """Name of the manifest of a unit, which is its commit marker."""
    return f"units/unit-{unit:06d}.json"


def commit_unit(
    folder: Folder,
    unit: int,
    samples: Iterable[Sample | StoredSample],
    outcomes: list[dict[str, Any]],
    **about: Any,
) -> dict[str, Any]:
    """Write the tar of a unit, then its manifest; returns the manifest.

    ``outcomes`` has one entry for every input row: row, source_id, samples, dropped (clips, by reason), and
    reason, detail and record if the row was rejected. It is read after ``samples`` ran out, so a generator
    of samples may fill it.
    """
    with folder.creating(shard_name(unit)) as part:
        with ShardWriter(part, shard_name(unit)) as writer:
            for sample in samples:
                writer.add(sample)
        manifest = {
            "format": FORMAT,
            "unit": unit,
            **about,
            "shard": writer.summary(),
            "samples": writer.rows,
            "rows": outcomes,
        }
        content = canonical_json(manifest)
        withdraw_other(folder, unit, content)
    folder.write(unit_name(unit), content)
    return manifest


def withdraw_other(folder: Folder, unit: int, content: bytes) -> None:
    """Take away a manifest that must not outlive its tar: between the two the unit does not exist.

    One that says the same stays. A worker whose driver was killed may still make a unit that the next driver
    has found done, and must not take it away under its eyes.
    """
    name = unit_name(unit)
    with contextlib.suppress(FileNotFoundError):
        if folder.read(name) != content:
            folder.remove(name)


@contextlib.contextmanager
def opened_shard(folder: Folder, manifest: dict[str, Any], scratch: Path) -> Iterator[BinaryIO]:
    """The tar of a unit, by way of ``scratch`` if it is remote: whole, and the same until it is closed,
    whatever is put in its place meanwhile. Raises AnimaticError if it is not what the manifest says."""
    shard, local = manifest["shard"], folder.local_path
    path = scratch / "shard.tar" if local is None else local / shard["name"]
    mend = f"delete {unit_name(manifest['unit'])} and run animatic ingest again"
    try:
        if local is None:
            folder.fetch(shard["name"], path)
        file = path.open("rb")
    except FileNotFoundError as error:
        raise AnimaticError(f"{folder}/{shard['name']} is missing: {mend}") from error
    with file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != shard["sha256"]:
            raise AnimaticError(
                f"{folder}/{shard['name']} is damaged: its sha256 is {found[:12]}…, not "
                f"{shard['sha256'][:12]}…: {mend}"
            )
        yield file


def stored_sample(tar: BinaryIO, row: dict[str, Any]) -> StoredSample:
    """The sample that a row of a unit's manifest tells of, read from its tar."""

    def read(offset: int, size: int) -> bytes:
        tar.seek(offset)
        return tar.read(size)

    members: dict[str, bytes] = {}
    for member in MEMBERS:
        members[member] = read(row[f"{member}_offset"], row[f"{member}_size"])
    for number, place in enumerate(_more_jpgs(row), start=1):
        members[f"{number}.jpg"] = read(*place)
    return StoredSample(members, row)


def _more_jpgs(row: dict[str, Any]) -> list[tuple[int, int]]:
    return list(zip(row.get("more_jpg_offset") or (), row.get("more_jpg_size") or (), strict=True))


def stored_shards(folder: Folder) -> set[int]:
    """Numbers of the tars that lie there, whether a manifest tells of them or not."""
    found = (re.fullmatch(r"shard-(\d{6,})\.tar", name) for name in folder.names())
    return {int(match[1]) for match in found if match}


def made_from(source: dict[str, Any], wanted: dict[str, Any]) -> bool:
    """Whether what a manifest tells of its source is ``wanted``. Earlier versions told the rows alone."""
    return {**wanted, **source} == wanted and source.keys() >= wanted.keys() - {"settings"}


def committed_units(folder: Folder) -> set[int]:
    """Units that have a manifest."""
    names = folder.names("units")
    return {int(n[5:-5]) for n in names if n.startswith("unit-") and n.endswith(".json")}


def read_unit(folder: Folder, unit: int) -> dict[str, Any]:
    """Manifest of a committed unit. Raises AnimaticError if it cannot be read."""
    try:
        manifest: dict[str, Any] = json.loads(folder.read(unit_name(unit)))
    except FileNotFoundError as error:
        raise AnimaticError(
            f"{folder}/{unit_name(unit)} is missing: run the job that makes it again"
        ) from error
    except ValueError as error:
        raise AnimaticError(
            f"{folder}/{unit_name(unit)} is not JSON ({error}): delete it and run the job that makes it again"
        ) from error
    return manifest


def count_outcomes(outcomes: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Counts of dataset.json: rows, samples, rejected_rows, reasons, dropped_clips."""
    rows = samples = 0
    reasons: Counter[str] = Counter()
    dropped: Counter[str] = Counter()
    for outcome in outcomes:
        rows += 1
        samples += outcome["samples"]
        dropped.update(outcome.get("dropped", {}))
        if not outcome["samples"]:
            reasons[outcome["reason"]] += 1
    return {
        "rows": rows,
        "samples": samples,
        "rejected_rows": reasons.total(),
        "reasons": dict(sorted(reasons.items())),
        "dropped_clips": dict(sorted(dropped.items())),
    }


def read_units(folder: Folder, units: Iterable[int]) -> Iterator[dict[str, Any]]:
    """Manifests in the order given, a few read ahead. Raises AnimaticError."""
    waiting: deque[Future[dict[str, Any]]] = deque()
    with ThreadPoolExecutor(READ_AHEAD) as pool:
        for unit in units:
            waiting.append(pool.submit(read_unit, folder, unit))
            if len(waiting) > READ_AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
