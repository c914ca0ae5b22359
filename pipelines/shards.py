"""The dataset on disk: WebDataset tars, a manifest per work unit, and the tables built from them.

A unit of work is one tar and one manifest. The manifest goes in place after the tar, atomically, and a
unit without a manifest does not exist; ``dataset.json`` goes in place last of all. All bytes depend on
the source rows, the configuration and the seed alone.
"""

import hashlib
import io
import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from models.errors import AnimaticError
from pipelines.duplicates import find_duplicates
from pipelines.storage import Folder, canonical_json, digest_of
from pipelines.tar import MEMBERS, Member, Sample, ShardWriter, StoredSample

FORMAT = 1

SAMPLES_SCHEMA = pa.schema(
    [("key", pa.string()), ("shard", pa.string())]
    + [(f"{member}_{part}", pa.int64()) for member in MEMBERS for part in ("offset", "size")]
    + [("caption", pa.string())]
    + [(name, pa.int32()) for name in ("width", "height", "frames")]
    + [("fps", pa.float64()), ("duration", pa.float64())]
    + [("source_id", pa.string()), ("condition_frame", pa.int32())]
    + [("motion", pa.float32()), ("brightness", pa.float32()), ("text", pa.float32()), ("phash", pa.string())]
    + [(f"more_jpg_{part}", pa.list_(pa.int64())) for part in ("offset", "size")]
)
LATER_COLUMNS = ("text", "phash", "more_jpg_offset", "more_jpg_size")
REJECTS_SCHEMA = pa.schema(
    [("row", pa.int64())] + [(name, pa.string()) for name in ("source_id", "reason", "detail", "record")]
)


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
    with folder.creating(shard_name(unit)) as part, ShardWriter(part, shard_name(unit)) as writer:
        for sample in samples:
            writer.add(sample)
        # An older manifest must not outlive its tar: between the two the unit does not exist.
        folder.remove(unit_name(unit))
    manifest = {
        "format": FORMAT,
        "unit": unit,
        **about,
        "shard": writer.summary(),
        "samples": writer.rows,
        "rows": outcomes,
    }
    folder.write(unit_name(unit), canonical_json(manifest))
    return manifest


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


def commit_dataset(folder: Folder, config: dict[str, Any], units: int, rows: int) -> dict[str, Any]:
    """Build the tables from the manifests of units 0 … units-1, check that all ``rows`` source rows are
    accounted for, and put dataset.json in place; returns its content."""
    manifests = [read_unit(folder, unit) for unit in range(units)]
    outcomes = [outcome for manifest in manifests for outcome in manifest["rows"]]
    samples = [sample for manifest in manifests for sample in manifest["samples"]]
    counts = count_outcomes(outcomes)
    if [outcome["row"] for outcome in outcomes] != list(range(rows)) or counts["samples"] != len(samples):
        raise AnimaticError(
            f"{folder}: the unit manifests have {counts['rows']} rows and {counts['samples']} samples, "
            f"not {rows} and {len(samples)}; ingest into a new folder"
        )
    rejects = [{**o, "record": canonical_json(o["record"]).decode()} for o in outcomes if not o["samples"]]
    files = {
        "samples.parquet": _parquet(pa.Table.from_pylist(samples, SAMPLES_SCHEMA)),
        "rejects.parquet": _parquet(pa.Table.from_pylist(rejects, REJECTS_SCHEMA)),
    }
    distance = config.get("filters", {}).get("duplicate_distance")
    if distance is not None:
        table = pa.Table.from_pylist(samples, SAMPLES_SCHEMA)
        files["duplicates.parquet"] = _parquet(find_duplicates(table, distance))
    for name, data in files.items():
        folder.write(name, data)
    files |= {unit_name(unit): canonical_json(manifest) for unit, manifest in enumerate(manifests)}
    info = {
        "format": FORMAT,
        "config": config,
        "counts": counts,
        "shards": [manifest["shard"] for manifest in manifests],
        "files": {name: hashlib.sha256(data).hexdigest() for name, data in files.items()},
    }
    info["digest"] = dataset_digest(info)
    folder.write("dataset.json", json.dumps(info, indent=1, ensure_ascii=False).encode())
    return info


def dataset_digest(info: dict[str, Any]) -> str:
    """What identifies a dataset everywhere downstream: its configuration and the bytes of its shards."""
    return digest_of([digest_of(info["config"]), [shard["sha256"] for shard in info["shards"]]])


def _parquet(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


class Dataset:
    """A finished dataset, opened for reading; safe to pickle and to share between threads."""

    def __init__(self, folder: Folder, info: dict[str, Any], samples: pa.Table) -> None:
        self.folder = folder
        self.info = info
        self.samples = samples

    @classmethod
    def open(cls, url: str | Path) -> "Dataset":
        """Open the dataset at a folder or fsspec URL; AnimaticError if it is missing or inconsistent."""
        folder = Folder(url)
        info = _read_info(folder)
        try:
            samples = pq.read_table(io.BytesIO(folder.read("samples.parquet")))
        except (FileNotFoundError, pa.ArrowInvalid) as error:
            raise AnimaticError(f"{url}/samples.parquet cannot be read ({error}); ingest again") from error
        samples = _completed(samples)
        if samples.schema.names != SAMPLES_SCHEMA.names or len(samples) != info["counts"]["samples"]:
            raise AnimaticError(f"{url}/samples.parquet does not fit its dataset.json; ingest again")
        return cls(folder, info, samples)

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def url(self) -> str:
        """Where the dataset is."""
        return self.folder.url

    @property
    def digest(self) -> str:
        """The dataset's identity."""
        return str(self.info["digest"])

    @property
    def rejects(self) -> pa.Table:
        """Rejected source rows: row, source_id, reason, detail, record (the row as JSON)."""
        return pq.read_table(io.BytesIO(self.folder.read("rejects.parquet")))

    @property
    def duplicates(self) -> pa.Table:
        """Samples that look like an earlier one: key, duplicate_of, distance (bits of the perceptual hash).

        Raises AnimaticError if the dataset was ingested without looking for them.
        """
        if "duplicates.parquet" not in self.info["files"]:
            raise AnimaticError(
                f"{self.url} was ingested without looking for duplicates; "
                "ingest with --set filters.duplicate_distance=12"
            )
        return pq.read_table(io.BytesIO(self.folder.read("duplicates.parquet")))

    def read(self, row: int, member: Member) -> bytes:
        """Bytes of one member of sample ``row`` (its place in ``samples``), by a range read of its tar.

        Raises OSError if the shard is gone or too short.
        """
        columns = ("shard", f"{member}_offset", f"{member}_size")
        shard, offset, size = (self.samples.column(name)[row].as_py() for name in columns)
        data = self.folder.read_range(shard, offset, size)
        if len(data) != size:
            raise OSError(f"{self.folder}/{shard} ends before sample {row}'s {member}")
        return data


def _completed(samples: pa.Table) -> pa.Table:
    """The table with the columns that datasets of earlier versions lack, empty."""
    for name in LATER_COLUMNS:
        if name not in samples.schema.names:
            kind = SAMPLES_SCHEMA.field(name).type
            samples = samples.append_column(name, pa.nulls(len(samples), kind))
    return samples


def _read_info(folder: Folder) -> dict[str, Any]:
    try:
        info: dict[str, Any] = json.loads(folder.read("dataset.json"))
    except FileNotFoundError as error:
        begun = (
            "its ingest did not finish; run it again" if folder.exists("ingest.json") else "make it: ingest"
        )
        raise AnimaticError(f"no dataset at {folder} ({begun})") from error
    except ValueError as error:
        raise AnimaticError(f"{folder}/dataset.json is not JSON ({error}); ingest again") from error
    if info.get("format") != FORMAT:
        raise AnimaticError(f"{folder} has dataset format {info.get('format')}; this version reads {FORMAT}")
    if info.get("digest") != dataset_digest(info):
        raise AnimaticError(f"{folder}/dataset.json was altered: its digest does not fit; ingest again")
    return info


def verify(url: str | Path) -> list[str]:
    """Read the whole dataset again and compare every digest and count; returns the problems, one a line."""
    folder = Folder(url)
    try:
        info = _read_info(folder)
    except AnimaticError as error:
        return [str(error)]
    expected = {shard["name"]: shard["sha256"] for shard in info["shards"]} | info["files"]
    problems = [problem for name, digest in expected.items() for problem in _check(folder, name, digest)]
    if problems:
        return problems
    manifests = (read_unit(folder, unit) for unit in range(len(info["shards"])))
    counts = count_outcomes(row for manifest in manifests for row in manifest["rows"])
    return [] if counts == info["counts"] else ["dataset.json: its counts are not those of the units"]


def _check(folder: Folder, name: str, digest: str) -> list[str]:
    if not folder.exists(name):
        return [f"{name}: missing"]
    with folder.open(name) as file:
        hashed = hashlib.sha256()
        while block := file.read(1 << 20):
            hashed.update(block)
    found = hashed.hexdigest()
    return [] if found == digest else [f"{name}: sha256 is {found[:12]}…, not {digest[:12]}…"]
