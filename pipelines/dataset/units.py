"""Units of a dataset: one tar and one manifest each, made on any machine, independent of all others.

The manifest goes in place after the tar, atomically, and a unit without a manifest does not exist. All bytes
depend on the source rows, the configuration and the seed alone.
"""

import contextlib
import json
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from models.errors import AnimaticError
from pipelines.dataset.tar import MEMBERS, Sample, ShardWriter, StoredSample
from pipelines.storage import Folder, canonical_json

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
        _withdraw_other(folder, unit, content)
    folder.write(unit_name(unit), content)
    return manifest


def _withdraw_other(folder: Folder, unit: int, content: bytes) -> None:
    """Take away a manifest that must not outlive its tar: between the two the unit does not exist.

    One that says the same stays. A worker whose driver was killed may still make a unit that the next driver
    has found done, and must not take it away under its eyes.
    """
    name = unit_name(unit)
    with contextlib.suppress(FileNotFoundError):
        if folder.read(name) != content:
            folder.remove(name)


def stored_sample(folder: Folder, row: dict[str, Any]) -> StoredSample:
    """The sample that a row of a unit's manifest tells of, read from its tar. Raises OSError."""
    members: dict[str, bytes] = {}
    for member in MEMBERS:
        members[member] = folder.read_range(row["shard"], row[f"{member}_offset"], row[f"{member}_size"])
    for number, place in enumerate(_more_jpgs(row), start=1):
        members[f"{number}.jpg"] = folder.read_range(row["shard"], *place)
    return StoredSample(members, row)


def _more_jpgs(row: dict[str, Any]) -> list[tuple[int, int]]:
    return list(zip(row.get("more_jpg_offset") or (), row.get("more_jpg_size") or (), strict=True))


def committed_units(folder: Folder) -> set[int]:
    """Units that have a manifest."""
    names = folder.names("units")
    return {int(n[5:-5]) for n in names if n.startswith("unit-") and n.endswith(".json")}


def read_unit(folder: Folder, unit: int) -> dict[str, Any]:
    """Manifest of a committed unit. Raises AnimaticError if it cannot be read."""
    try:
        manifest: dict[str, Any] = json.loads(folder.read(unit_name(unit)))
    except (FileNotFoundError, ValueError) as error:
        raise AnimaticError(
            f"{folder}/{unit_name(unit)} cannot be read ({error}); delete it and run ingest again"
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
