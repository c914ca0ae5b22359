"""The job: source videos are removed from a dataset, its tables and scores, and from latents of it.

``takedowns.json`` records it before anything is removed, then dataset.json is deleted, the units that have
the videos are rewritten, and dataset.json is written again: a reader finds the dataset as it was, as it is
now, or none. Stopped at any moment, the same call continues, with the same bytes at the end.
"""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from core.lock import exclusive_lock
from core.storage import Folder
from core.urls import relative_to, resolve
from pipelines.card import write_card
from pipelines.dataset import Dataset
from pipelines.dataset.clip_units import shard_name
from pipelines.dataset.columns import columns_follow_takedown
from pipelines.dataset.commit import commit_dataset
from pipelines.dataset.dataset_record import DATASET, read_dataset_record
from pipelines.dataset.latent_records import holds_latents
from pipelines.dataset.records import Takedown, UnitManifest
from pipelines.dataset.tables import SAMPLES
from pipelines.dataset.takedowns import (
    TAKEDOWNS_FORMAT,
    TakedownsRecord,
    UnfinishedTakedown,
    hash_of_id,
    hashes_in,
    holds_any,
    read_takedowns,
    write_takedowns,
)
from pipelines.dataset.units import committed_units, read_units
from pipelines.takedown.cached import drop_shards, drop_tables
from pipelines.takedown.clips import remove_videos
from pipelines.takedown.latents import follow_dataset
from pipelines.takedown.latents_plan import ShardVersions
from pipelines.takedown.plan import DatasetPlan, plan_takedown, require_clips
from pipelines.takedown.rewriting import complete_units, remove_uncommitted

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class TakedownResult:
    """What was done to one dataset.

    Attributes:
        plan: what was found and removed by this call; what a stopped one had begun is not part of it.
        digest: of the dataset afterwards; None if its ingest did not finish: `animatic ingest` continues it.
        incomplete_latents: locations of latents that lack shards: `animatic encode` makes them.
    """

    plan: DatasetPlan
    digest: str | None
    incomplete_latents: tuple[str, ...]


def take_down(
    dataset: str,
    source_ids: Sequence[str],
    *,
    latents: Sequence[str] = (),
    reason: str = "",
    date: str,
    progress: Progress = lambda done, total: None,
) -> TakedownResult:
    """Remove videos from a dataset, and first what a takedown that was stopped has left.

    Args:
        latents: locations of latents of this dataset that are not below its folder.
        date: when it was asked for, in ISO 8601; recorded with the ``reason``.
        progress: gets (units done, units that are rewritten).

    Raises:
        AnimaticError: as :func:`plan_takedown`; another job is writing to the dataset or latents; a tar that
            is to be rewritten is damaged.
    """
    folder = Folder(dataset)
    require_clips(folder)
    with contextlib.ExitStack() as held:
        held.enter_context(exclusive_lock(folder, "takedown"))
        record, locked = read_takedowns(folder), set[str]()
        if "unfinished" in record:
            pending = (resolve(each, folder.url) for each in record["unfinished"]["latents"])
            _lock(held, [url for url in pending if holds_latents(url)], locked)
            _finish(folder, record, None, progress)
        plan = plan_takedown(dataset, source_ids, latents)
        _lock(held, [each.latents for each in plan.latents], locked)
        if plan.units or plan.rejected_later:
            units = [unit.unit for unit in plan.units]
            _finish(folder, _begin(folder, plan, reason, date), units, progress)
        return _follow(folder, plan)


def _lock(held: contextlib.ExitStack, urls: Sequence[str], locked: set[str]) -> None:
    """Keep other jobs from latents as long as ``held``, but for those that are ``locked`` already."""
    for url in urls:
        name = relative_to(url, ".")
        if name not in locked:
            locked.add(name)
            held.enter_context(exclusive_lock(Folder(url), "takedown"))


def _begin(folder: Folder, plan: DatasetPlan, reason: str, date: str) -> TakedownsRecord:
    """Record what will be removed: from here on it does not come back."""
    takedown: Takedown = {
        "date": date,
        "reason": reason,
        "digest": plan.digest,
        "samples": plan.samples,
        "rows": plan.rows,
        "shards": [{"name": unit.shard, "sha256": unit.sha256} for unit in plan.units if unit.keys],
        "source_ids": sorted(map(hash_of_id, (*plan.found, *plan.rejected_later))),
    }
    info = read_dataset_record(folder) if plan.digest is not None else None
    unfinished: UnfinishedTakedown = {
        "config": info["config"] if info else None,
        "units": len(info["shards"]) if info else 0,
        "rows": info["counts"]["rows"] if info else 0,
        "tables": [info["files"][SAMPLES]] if info else [],
        "latents": [relative_to(each.latents, folder.url) for each in plan.latents],
    }
    takedowns = [*read_takedowns(folder)["takedowns"], takedown]
    record: TakedownsRecord = {"format": TAKEDOWNS_FORMAT, "takedowns": takedowns, "unfinished": unfinished}
    write_takedowns(folder, record)
    return record


def _finish(
    folder: Folder, record: TakedownsRecord, affected: Sequence[int] | None, progress: Progress
) -> None:
    """Do what a takedown has recorded, from whatever point it was stopped at.

    ``affected``: the units that have the videos; None looks for them, since some may be done.
    """
    unfinished, takedowns = record["unfinished"], record["takedowns"]
    folder.remove(DATASET)
    complete_units(folder, UnitManifest)
    hashes = hashes_in(takedowns)
    _rewrite_units(folder, _units_with(folder, hashes) if affected is None else affected, hashes, progress)
    remove_uncommitted(folder, shard_name)
    dataset = _commit(folder, unfinished)
    if dataset is not None:
        columns_follow_takedown(dataset, takedowns[-1]["digest"])
    for url in unfinished["latents"]:
        follow_dataset(resolve(url, folder.url), folder, dataset, ShardVersions.of(takedowns))
    drop_shards(shard["sha256"] for shard in takedowns[-1]["shards"])
    drop_tables(unfinished["tables"])
    write_takedowns(folder, {"format": TAKEDOWNS_FORMAT, "takedowns": takedowns})


def _units_with(folder: Folder, hashes: frozenset[str]) -> list[int]:
    manifests = read_units(folder, sorted(committed_units(folder)), UnitManifest)
    return [manifest["unit"] for manifest in manifests if holds_any(manifest, hashes)]


def _rewrite_units(folder: Folder, units: Sequence[int], hashes: frozenset[str], progress: Progress) -> None:
    progress(0, len(units))
    for done, manifest in enumerate(read_units(folder, units, UnitManifest), start=1):
        with folder.scratch() as scratch:
            remove_videos(folder, manifest, hashes, scratch)
        progress(done, len(units))


def _commit(folder: Folder, unfinished: UnfinishedTakedown) -> Dataset | None:
    """Complete the dataset; None if units of it are missing, which `animatic ingest` makes."""
    units, config = unfinished["units"], unfinished["config"]
    if config is None or committed_units(folder) != set(range(units)):
        return None
    commit_dataset(folder, config, units, unfinished["rows"])
    write_card(folder)
    return Dataset.open(folder.url)


def _follow(folder: Folder, plan: DatasetPlan) -> TakedownResult:
    """Bring latents up to date that were named for the first time after the takedown of their dataset."""
    dataset = Dataset.open(folder.url) if folder.exists(DATASET) else None
    versions = ShardVersions.of(read_takedowns(folder)["takedowns"])
    incomplete = [
        each.latents for each in plan.latents if not follow_dataset(each.latents, folder, dataset, versions)
    ]
    return TakedownResult(plan, dataset.digest if dataset is not None else None, tuple(incomplete))
