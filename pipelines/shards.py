"""The dataset on disk: WebDataset tars, a manifest per work unit, and the tables built from them.

A unit of work is one tar and one manifest. The manifest goes in place after the tar, atomically, and a
unit without a manifest does not exist; ``dataset.json`` goes in place last of all. All bytes depend on
the source rows, the configuration and the seed alone.
"""

import contextlib
import hashlib
import io
import itertools
import json
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from models.errors import AnimaticError
from pipelines.duplicates import find_duplicates
from pipelines.mapped import mapped_table
from pipelines.shard_files import CacheConfig
from pipelines.storage import Folder, canonical_json, digest_of
from pipelines.tables import (
    LATER_COLUMNS,
    REJECTS_SCHEMA,
    SAMPLES_SCHEMA,
    TableWriter,
    rejected,
)
from pipelines.tar import MEMBERS, Member, Sample, ShardWriter, StoredSample

FORMAT = 1
READ_AHEAD = 8
MAPPED_ROWS = 50_000  # more samples than that are not held in memory


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


def commit_dataset(folder: Folder, config: dict[str, Any], units: int, rows: int) -> dict[str, Any]:
    """Build the tables from the manifests of units 0 … units-1, check that all ``rows`` source rows are
    accounted for, and put dataset.json in place; returns its content."""
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
        for name, part in parts.items():
            with part.open("rb") as file:
                digests[name] = hashlib.file_digest(file, "sha256").hexdigest()
    ordered = json.loads(canonical_json(config))  # the same bytes wherever the configuration came from
    info = {"format": FORMAT, "config": ordered, "counts": counts, "shards": shards, "files": digests}
    info["digest"] = dataset_digest(info)
    folder.write("dataset.json", json.dumps(info, indent=1, ensure_ascii=False).encode())
    return info


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
            f"where the source has {rows} rows; ingest into a new folder"
        )
    return counts


def dataset_digest(info: dict[str, Any]) -> str:
    """What identifies a dataset everywhere downstream: its configuration and the bytes of its shards."""
    return digest_of([digest_of(info["config"]), [shard["sha256"] for shard in info["shards"]]])


class Dataset:
    """A finished dataset, opened for reading; safe to pickle and to share between threads."""

    def __init__(self, folder: Folder, info: dict[str, Any], samples: pa.Table) -> None:
        self.folder = folder
        self.info = info
        self.samples = samples
        self._read_range: Callable[[str, int, int], bytes] = folder.read_range

    @classmethod
    def open(cls, url: str | Path) -> "Dataset":
        """Open the dataset at a folder or fsspec URL; AnimaticError if it is missing or inconsistent."""
        folder = Folder(url)
        info = read_info(folder)
        try:
            samples = _read_samples(folder, info)
        except (FileNotFoundError, pa.ArrowInvalid) as error:
            raise AnimaticError(f"{url}/samples.parquet cannot be read ({error}); ingest again") from error
        samples = _completed(samples)
        if samples.schema.names != SAMPLES_SCHEMA.names or len(samples) != info["counts"]["samples"]:
            raise AnimaticError(f"{url}/samples.parquet does not fit its dataset.json; ingest again")
        return cls(folder, info, samples)

    def reading_with(self, read_range: Callable[[str, int, int], bytes]) -> "Dataset":
        """The same dataset, ``size`` bytes from ``offset`` of ``shard`` read by ``read_range``."""
        other = Dataset(self.folder, self.info, self.samples)
        other._read_range = read_range
        return other

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
        columns = (f"{member}_offset", f"{member}_size")
        offset, size = (self.samples.column(name)[row].as_py() for name in columns)
        return self._read(row, offset, size, member)

    def images(self, row: int) -> int:
        """Number of conditioning images of sample ``row``."""
        return 1 + len(self.samples.column("more_jpg_size")[row].as_py() or ())

    def read_image(self, row: int, number: int) -> bytes:
        """The ``number``-th conditioning image, from 0. Raises as ``read``."""
        if number == 0:
            return self.read(row, "jpg")
        columns = ("more_jpg_offset", "more_jpg_size")
        offset, size = (self.samples.column(name)[row].as_py()[number - 1] for name in columns)
        return self._read(row, offset, size, f"{number}.jpg")

    def _read(self, row: int, offset: int | None, size: int, member: str) -> bytes:
        if offset is None:
            raise OSError(f"sample {row} of {self.folder} has no {member}")
        shard = self.samples.column("shard")[row].as_py()
        data = self._read_range(shard, offset, size)
        if len(data) != size:
            raise OSError(f"{self.folder}/{shard} ends before sample {row}'s {member}")
        return data


def _read_samples(folder: Folder, info: dict[str, Any]) -> pa.Table:
    if info["counts"]["samples"] > MAPPED_ROWS:
        digest = info["files"]["samples.parquet"]
        return mapped_table(folder, "samples.parquet", digest, CacheConfig().path)
    return pq.read_table(io.BytesIO(folder.read("samples.parquet")))


def _completed(samples: pa.Table) -> pa.Table:
    """The table with the columns that datasets of earlier versions lack, empty."""
    for name in LATER_COLUMNS:
        if name not in samples.schema.names:
            kind = SAMPLES_SCHEMA.field(name).type
            samples = samples.append_column(name, pa.nulls(len(samples), kind))
    return samples


def read_info(folder: Folder) -> dict[str, Any]:
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
