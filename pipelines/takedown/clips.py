"""One unit of a dataset without the samples and rows of some videos."""

from pathlib import Path
from typing import BinaryIO

import numpy as np

from core.canonical_json import canonical_json
from core.storage import Folder
from pipelines.dataset.clip_units import stored_sample
from pipelines.dataset.columns import (
    columns_with_units,
    earlier_scores_file,
    read_unit_values,
    write_unit_values,
)
from pipelines.dataset.embeddings import keep_embeddings
from pipelines.dataset.records import RowOutcome, SampleRow, UnitManifest
from pipelines.dataset.samples import add_sample
from pipelines.dataset.shard_writer import ShardWriter
from pipelines.dataset.takedowns import hash_of_id, taken_down_outcome
from pipelines.dataset.units import unit_name
from pipelines.takedown.rewriting import rewrite_unit


def is_of(entry: SampleRow | RowOutcome, hashes: frozenset[str]) -> bool:
    """Whether a sample or a row has an id with one of these sha256."""
    return bool(entry["source_id"]) and hash_of_id(entry["source_id"]) in hashes


def remove_videos(folder: Folder, manifest: UnitManifest, hashes: frozenset[str], scratch: Path) -> None:
    """Remove the samples of these videos from a unit: tar, manifest, columns, embeddings, content of rows.

    A tar without any of their samples stays as it is.

    Raises AnimaticError if the tar does not match the manifest.
    """
    unit, rows = manifest["unit"], manifest["samples"]
    kept = [not is_of(row, hashes) for row in rows]
    outcomes = [_outcome(outcome, hashes) for outcome in manifest["rows"]]
    if all(kept):
        folder.write(unit_name(unit), canonical_json({**manifest, "rows": outcomes}))
        return

    def fill(tar: BinaryIO, writer: ShardWriter) -> UnitManifest:
        copied = [
            add_sample(writer, stored_sample(tar, row)) for row, keep in zip(rows, kept, strict=True) if keep
        ]
        return {**manifest, "shard": writer.finish(), "samples": copied, "rows": outcomes}

    def follow(new: UnitManifest) -> None:
        _rewrite_values(folder, manifest, new, kept)
        keep_embeddings(folder, unit, manifest["shard"], new["shard"], np.array(kept))

    remedy = (
        f"delete {unit_name(unit)}, run the same takedown again and then animatic ingest, which makes the "
        "unit without the videos"
    )
    rewrite_unit(folder, unit, manifest["shard"], fill, scratch=scratch, remedy=remedy, before_tar=follow)


def _outcome(outcome: RowOutcome, hashes: frozenset[str]) -> RowOutcome:
    if not is_of(outcome, hashes):
        return outcome
    return taken_down_outcome(outcome["row"], hash_of_id(outcome["source_id"]))


def _rewrite_values(folder: Folder, old: UnitManifest, new: UnitManifest, kept: list[bool]) -> None:
    """Remove the values of samples that are not kept. Those of another state of the unit are not read."""
    unit = old["unit"]
    folder.remove(earlier_scores_file(unit))
    for name in columns_with_units(folder):
        stored = read_unit_values(folder, name, unit)
        if stored is None or stored["shard"] != old["shard"]["sha256"] or len(stored["values"]) != len(kept):
            continue
        remaining = [value for value, keep in zip(stored["values"], kept, strict=True) if keep]
        write_unit_values(folder, name, unit, new["shard"], stored["source"], remaining)
