"""Units of an ingested dataset: the samples of a run of source rows, and what became of every row.

All bytes depend on the source rows, the configuration and the seed alone.
"""

import re
from collections import Counter
from collections.abc import Iterable
from typing import BinaryIO

from core.storage import Folder
from pipelines.dataset.records import (
    FORMAT,
    ByteRange,
    Counts,
    RowOutcome,
    SampleRow,
    UnitCounts,
    UnitManifest,
    UnitSource,
    member_ranges,
)
from pipelines.dataset.samples import Sample, StoredSample, add_sample
from pipelines.dataset.shard_writer import ShardWriter
from pipelines.dataset.units import commit_unit


def shard_name(unit: int) -> str:
    """Name of the tar of a unit."""
    return f"shard-{unit:06d}.tar"


def commit_clips(
    folder: Folder,
    unit: int,
    samples: Iterable[Sample | StoredSample],
    outcomes: list[RowOutcome],
    source: UnitSource | None = None,
) -> UnitManifest:
    """Write the tar of a unit, then its manifest; returns the manifest.

    ``outcomes`` has one entry for every input row. It is read after ``samples`` is exhausted, so a generator
    of samples may fill it.
    """

    def fill(writer: ShardWriter) -> UnitManifest:
        rows = [add_sample(writer, sample) for sample in samples]
        manifest: UnitManifest = {
            "format": FORMAT,
            "unit": unit,
            "shard": writer.finish(),
            "samples": rows,
            "rows": outcomes,
        }
        if source is not None:
            manifest["source"] = source
        return manifest

    return commit_unit(folder, unit, shard_name(unit), fill)


def stored_shards(folder: Folder) -> set[int]:
    """Numbers of the tars in the folder, with a manifest or without."""
    found = (re.fullmatch(r"shard-(\d{6,})\.tar", name) for name in folder.names())
    return {int(match[1]) for match in found if match}


def stored_sample(tar: BinaryIO, row: SampleRow) -> StoredSample:
    """The sample of a row of a unit's manifest, read from its tar."""

    def read(where: ByteRange) -> bytes:
        tar.seek(where.offset)
        return tar.read(where.size)

    return StoredSample({member: read(where) for member, where in member_ranges(row).items()}, row)


def source_matches(recorded: UnitSource, expected: UnitSource) -> bool:
    """Whether a unit was made from ``expected``. Earlier versions did not record the settings."""
    return {**expected, **recorded} == expected and recorded.keys() >= expected.keys() - {"settings"}


def count_outcomes(outcomes: Iterable[RowOutcome]) -> Counts:
    """Totals over rows of the source table."""
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


def counts_of(manifest: UnitManifest) -> UnitCounts:
    """Totals of a committed unit."""
    return {**count_outcomes(manifest["rows"]), "bytes": manifest["shard"]["bytes"]}
