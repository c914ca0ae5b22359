"""Verification of a dataset: every digest, count, tar, sample and clip."""

import io
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow.parquet as pq

from core.errors import AnimaticError
from core.storage import Folder
from pipelines.dataset.clip_units import count_outcomes
from pipelines.dataset.dataset import Dataset
from pipelines.dataset.dataset_record import DATASET, read_dataset_record
from pipelines.dataset.integrity import digest_problems, mismatch, unexpected
from pipelines.dataset.record_files import DamagedRecordError
from pipelines.dataset.records import MEMBERS, DatasetRecord, RowOutcome, SampleRow, Takedown, UnitManifest
from pipelines.dataset.tables import REJECTS, SAMPLES
from pipelines.dataset.takedowns import TAKEDOWNS, hashes_in, holds_any, read_takedowns
from pipelines.dataset.units import committed_units, read_unit, read_units, unit_name
from pipelines.dataset.verify_columns import column_problems
from pipelines.dataset.verify_samples import shard_problems

_LOCATION = ("key", "shard", *(f"{member}_{part}" for member in MEMBERS for part in ("offset", "size")))
_LATER_LOCATION = ("rungs",)  # which early tables and most samples lack


def verify(
    url: str | Path,
    *,
    deep: bool = False,
    threads: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[str]:
    """What is wrong with a dataset, one problem a line; nothing if it is whole.

    Reads every tar and sample: members present and where the tables locate them, JSON equal to the tables,
    images of the right size, clips with the recorded number of frames (counted by demuxing; ``deep`` decodes
    them), columns beside the dataset with a value for each sample. ``progress`` gets (shards done, shards),
    or of an index of image tars (files done, files).

    Raises AnimaticError if there is no dataset, or if ``deep`` is asked for an index of images.
    """
    folder = Folder(url)
    try:
        info = read_dataset_record(folder)
    except DamagedRecordError as error:
        return [str(error)]
    if info["config"].get("kind") == "images":
        if deep:
            raise AnimaticError(f"{folder} contains images, which have no clips to decode: leave out --deep")
        digests = info["files"] | {shard["name"]: shard["sha256"] for shard in info["shards"]}
        problems = list[str]()
        for done, found in enumerate(digest_problems(folder, digests, threads), start=1):
            problems += found
            progress(done, len(digests))
        return problems or [*column_problems(Dataset.open(url))]
    unrecorded = {unit_name(unit) for unit in range(len(info["shards"]))} - info["files"].keys()
    if unrecorded:
        return [f"{DATASET}: has no digest of {name}" for name in sorted(unrecorded)]
    files = dict(zip(info["files"], digest_problems(folder, info["files"], threads), strict=True))
    problems = _unexpected_files(folder, info) + [problem for found in files.values() for problem in found]
    if not any(files.values()):
        problems += [*_contradictions(folder, info), *column_problems(Dataset.open(url))]
    total = len(info["shards"])

    def check(unit: int) -> list[str]:
        # A manifest that was altered is no measure for its tar.
        rows = None if files[unit_name(unit)] else read_unit(folder, unit, UnitManifest)["samples"]
        return shard_problems(folder, info["shards"][unit], rows, deep)

    with ThreadPoolExecutor(threads or min(8, os.cpu_count() or 1)) as pool:
        for done, found in enumerate(pool.map(check, range(total)), start=1):
            problems += found
            progress(done, total)
    return problems


def _unexpected_files(folder: Folder, info: DatasetRecord) -> list[str]:
    """Files that a reader of all tars or manifests in the folder would treat as the dataset's."""
    shards = {name for name in folder.names() if name.startswith("shard-") and name.endswith(".tar")}
    manifests = {unit_name(unit) for unit in committed_units(folder)}
    expected = {unit_name(unit) for unit in range(len(info["shards"]))}
    return [
        *unexpected(shards, {shard["name"] for shard in info["shards"]}, "dataset"),
        *unexpected(manifests, expected, "dataset"),
    ]


def _contradictions(folder: Folder, info: DatasetRecord) -> list[str]:
    """Differences between the unit manifests, the tables and dataset.json."""
    problems: list[str] = []
    table = _table_rows(folder)
    history, taken_down = info.get("history", []), hashes_in(info.get("history", []))
    units = range(len(info["shards"]))

    def outcomes() -> Iterator[RowOutcome]:
        for unit, manifest in zip(units, read_units(folder, units, UnitManifest), strict=True):
            if manifest["shard"] != info["shards"][unit]:
                problems.append(f"{unit_name(unit)}: its shard is not that of {DATASET}")
            if taken_down and holds_any(manifest, taken_down):
                problems.append(f"{unit_name(unit)}: has a video that was taken down")
            if any(_location(row) != next(table, None) for row in manifest["samples"]):
                problems.append(f"{SAMPLES}: not the samples of {unit_name(unit)}")
            yield from manifest["rows"]

    counts = count_outcomes(outcomes())
    problems += mismatch(DATASET, "its counts", info["counts"], counts)
    samples = sum(shard["samples"] for shard in info["shards"])
    problems += mismatch(DATASET, "number of samples in shards", samples, counts["samples"])
    problems += _differing_history(folder, history)
    if next(table, None) is not None:
        problems.append(f"{SAMPLES}: more samples than in the units")
    rejects = pq.ParquetFile(io.BytesIO(folder.read(REJECTS))).metadata.num_rows
    return problems + mismatch(REJECTS, "number of rows", rejects, counts["rejected_rows"])


def _differing_history(folder: Folder, history: list[Takedown]) -> list[str]:
    try:
        recorded = read_takedowns(folder)["takedowns"]
    except DamagedRecordError as error:
        return [str(error)]
    return [] if recorded == history else [f"{TAKEDOWNS}: its takedowns are not the history of {DATASET}"]


def _table_rows(folder: Folder) -> Iterator[tuple[object, ...]]:
    """Key, shard and location of the members of every sample of the table."""
    with folder.open(SAMPLES) as file:
        for batch in pq.ParquetFile(file).iter_batches(columns=[*_LOCATION, *_LATER_LOCATION]):
            yield from map(_location, batch.to_pylist())


def _location(row: SampleRow) -> tuple[object, ...]:
    columns: dict[str, object] = dict(row)
    return tuple(columns[name] for name in _LOCATION) + tuple(columns.get(n) for n in _LATER_LOCATION)
