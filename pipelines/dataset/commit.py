"""Units → a dataset: the tables built from their manifests, and dataset.json, which goes in place last."""

import contextlib
import itertools
import json
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow.parquet as pq

from core.canonical_json import canonical_json, digest_of
from core.errors import AnimaticError
from core.files import sha256
from core.storage import Folder
from pipelines.dataset.dataset import dataset_digest
from pipelines.dataset.duplicates import find_duplicates
from pipelines.dataset.tables import REJECTS_SCHEMA, SAMPLES_SCHEMA, TableWriter, rejected
from pipelines.dataset.units import FORMAT, count_outcomes, made_from, read_units, unit_name


def commit_dataset(
    folder: Folder,
    config: dict[str, Any],
    units: int,
    rows: int,
    sources: Sequence[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """Build the tables from the manifests of units 0 … units-1, check that all ``rows`` source rows are
    accounted for, and put dataset.json in place; returns its content.

    ``sources``: what each unit must say that it was made from. Raises AnimaticError if one says otherwise.
    """
    shards: list[dict[str, Any]] = []
    with contextlib.ExitStack() as files:
        names = ("samples.parquet", "rejects.parquet")
        parts = {name: files.enter_context(folder.creating(name)) for name in names}
        digests: dict[str, str] = {}
        with (
            TableWriter(parts["samples.parquet"], SAMPLES_SCHEMA) as samples,
            TableWriter(parts["rejects.parquet"], REJECTS_SCHEMA) as rejects,
        ):

            def outcomes() -> Iterator[dict[str, Any]]:
                for manifest in read_units(folder, range(units)):
                    if sources is not None:
                        _require_source(folder, manifest, sources)
                    shards.append(manifest["shard"])
                    digests[unit_name(manifest["unit"])] = digest_of(manifest)
                    samples.add(manifest["samples"])
                    rejects.add(rejected(manifest["rows"]))
                    yield from manifest["rows"]

            counts = _accounted(folder, outcomes(), rows)
        if counts["samples"] != sum(shard["samples"] for shard in shards):
            raise AnimaticError(f"{folder}: rows and shards tell of different samples; ingest it again")
        distance = config.get("filters", {}).get("duplicate_distance")
        if distance is not None:
            table = pq.read_table(parts["samples.parquet"], columns=["key", "phash"])
            parts["duplicates.parquet"] = files.enter_context(folder.creating("duplicates.parquet"))
            pq.write_table(find_duplicates(table, distance), parts["duplicates.parquet"], compression="zstd")
        digests |= {name: sha256(part) for name, part in parts.items()}
    ordered = json.loads(canonical_json(config))  # the same bytes wherever the configuration came from
    info = {"format": FORMAT, "config": ordered, "counts": counts, "shards": shards, "files": digests}
    info["digest"] = dataset_digest(info)
    folder.write("dataset.json", json.dumps(info, indent=1, ensure_ascii=False).encode())
    return info


def _require_source(folder: Folder, manifest: dict[str, Any], sources: Sequence[dict[str, Any]]) -> None:
    unit = manifest["unit"]
    if unit >= len(sources) or not made_from(manifest.get("source", {}), sources[unit]):
        raise AnimaticError(
            f"{folder}/{unit_name(unit)} is of other rows or settings than this job's: another job, or a "
            "worker of one that was stopped, wrote here meanwhile; run animatic ingest again"
        )


def _accounted(folder: Folder, outcomes: Iterator[dict[str, Any]], rows: int) -> dict[str, Any]:
    """Counts of outcomes that must be those of source rows 0 … rows-1, in order."""
    expected = itertools.count()
    gaps: list[int] = []

    def checked() -> Iterator[dict[str, Any]]:
        for outcome in outcomes:
            if outcome["row"] != next(expected):
                gaps.append(outcome["row"])
            yield outcome

    counts = count_outcomes(checked())
    if gaps or counts["rows"] != rows:
        raise AnimaticError(
            f"{folder}: the unit manifests have {counts['rows']} rows and {counts['samples']} samples "
            f"where the source had {rows} rows when it was counted; run animatic ingest again"
        )
    return counts
