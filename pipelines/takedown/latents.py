"""Latents follow their dataset: without the samples that it no longer has, and of its present state."""

from pathlib import Path
from typing import BinaryIO, cast

from core.storage import Folder
from pipelines.dataset import Dataset
from pipelines.dataset.latent_records import (
    ENCODE,
    LATENTS,
    MEMBERS,
    TABLE,
    LatentKey,
    LatentManifest,
    LatentRow,
    holds_latents,
    latent_shard_name,
    read_latents_record,
)
from pipelines.dataset.latent_units import commit_latents, is_made_of
from pipelines.dataset.record_files import parse_record
from pipelines.dataset.records import ByteRange, Settings, ShardRecord, UnitManifest, range_columns
from pipelines.dataset.shard_writer import ShardWriter
from pipelines.dataset.units import committed_units, read_unit, read_units, unit_name
from pipelines.takedown.cached import drop_shards, drop_tables
from pipelines.takedown.latents_plan import ShardVersions
from pipelines.takedown.rewriting import complete_units, remove_uncommitted, rewrite_unit


def follow_dataset(url: str, source: Folder, dataset: Dataset | None, versions: ShardVersions) -> bool:
    """Bring latents from a state before takedowns to the present one; whether they are complete then.

    Latents of a shard in another state are deleted: `animatic encode` makes them again.

    Args:
        source: the dataset's folder, whose units have their final state.
        dataset: the same, opened; None if its ingest did not finish.
        versions: the tars of the dataset that were rewritten.

    Raises:
        AnimaticError: a tar does not match its manifest.
    """
    folder = Folder(url)
    if not holds_latents(url):
        return True  # they were deleted since the takedown was stopped
    complete_units(folder, LatentManifest)
    remove_uncommitted(folder, latent_shard_name)
    key = LatentKey.recorded(
        parse_record(Settings, folder.read(ENCODE), f"{folder}/{ENCODE}", "encode again")
    )
    outdated = [
        unit
        for unit in sorted(committed_units(folder) & versions.units.keys())
        if not is_made_of(read_unit(folder, unit, LatentManifest), key, _shard(source, unit))
    ]
    if folder.exists(LATENTS):
        info = read_latents_record(folder)
        is_current = dataset is not None and info["dataset"] == dataset.digest
        if is_current or not (outdated or info["dataset"] in versions.digests):
            return is_current
        drop_tables([info["files"][TABLE]])
        folder.remove(LATENTS)
    for unit in outdated:
        _follow_unit(folder, source, unit, versions.units[unit])
    if dataset is None or not _are_current(folder, dataset, key):
        return False
    commit_latents(folder, dataset, key)
    return True


def _shard(source: Folder, unit: int) -> ShardRecord:
    return read_unit(source, unit, UnitManifest)["shard"]


def _follow_unit(folder: Folder, source: Folder, unit: int, before: frozenset[str]) -> None:
    old = read_unit(folder, unit, LatentManifest)
    clips = read_unit(source, unit, UnitManifest)
    kept = {row["key"] for row in clips["samples"]}
    encoded = {row["key"] for row in (*old["samples"], *old["failed"])}
    if old["source"] in before and kept <= encoded:
        with folder.scratch() as scratch:
            _rewrite(folder, old, clips["shard"], kept, scratch)
    else:
        folder.remove(unit_name(unit))
        folder.remove(latent_shard_name(unit))
    drop_shards([old["shard"]["sha256"]])


def _rewrite(folder: Folder, old: LatentManifest, source: ShardRecord, kept: set[str], scratch: Path) -> None:
    def fill(tar: BinaryIO, writer: ShardWriter) -> LatentManifest:
        return {
            **old,
            "source": source["sha256"],
            "samples": [_copied(tar, row, writer) for row in old["samples"] if row["key"] in kept],
            "failed": [failed for failed in old["failed"] if failed["key"] in kept],
            "shard": writer.finish(),
        }

    remedy = f"delete {unit_name(old['unit'])} and run animatic encode again"
    rewrite_unit(folder, old["unit"], old["shard"], fill, scratch=scratch, remedy=remedy)


def _copied(tar: BinaryIO, row: LatentRow, writer: ShardWriter) -> LatentRow:
    columns = dict[str, object](row)
    ranges = {
        member: ByteRange(cast(int, columns[f"{member}_offset"]), cast(int, columns[f"{member}_size"]))
        for member in MEMBERS
        if f"{member}_offset" in columns
    }
    contents: dict[str, bytes] = {}
    for member, where in ranges.items():
        tar.seek(where.offset)
        contents[member] = tar.read(where.size)
    stored = range_columns(writer.add(row["key"], contents))
    return cast(LatentRow, {**columns, "shard": writer.name, **stored})


def _are_current(folder: Folder, dataset: Dataset, key: LatentKey) -> bool:
    shards = dataset.info["shards"]
    if committed_units(folder) != set(range(len(shards))):
        return False
    manifests = read_units(folder, range(len(shards)), LatentManifest)
    return all(is_made_of(manifest, key, shard) for manifest, shard in zip(manifests, shards, strict=True))
