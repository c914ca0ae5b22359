"""What a takedown will do to a dataset, found from its records alone; nothing is written, not even a lock."""

import io
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from core.errors import AnimaticError
from core.storage import Folder
from pipelines.dataset.dataset_record import DATASET, read_dataset_record
from pipelines.dataset.duplicates import DUPLICATES
from pipelines.dataset.made_from import MADE_FROM_FILE
from pipelines.dataset.records import DatasetRecord, Takedown, UnitManifest, member_ranges
from pipelines.dataset.takedowns import hash_of_id, hashes_in, read_takedowns
from pipelines.dataset.units import committed_units, read_units
from pipelines.takedown.latents_plan import LatentsPlan, ShardVersions, find_latents, latents_of, plan_latents


@dataclass(frozen=True)
class UnitPlan:
    """What is removed from one unit.

    Attributes:
        shard, sha256: its tar as it is, which is rewritten if it has samples of the videos.
        keys: of the samples that are removed.
        rows: number of rows of the source table that lose their content.
        bytes: of the removed samples' members.
    """

    unit: int
    shard: str
    sha256: str
    keys: tuple[str, ...]
    rows: int
    bytes: int


@dataclass(frozen=True)
class DatasetPlan:
    """What a takedown will do to one dataset.

    Attributes:
        digest: the dataset's now; None if its ingest did not finish.
        seen_in: digests of the states of the dataset that had samples of the videos, as far as known.
        found: ids with rows in the dataset.
        already: ids that were taken down before.
        absent: ids that the dataset does not have.
        look_alikes: keys of samples that stay and that ``duplicates.parquet`` lists with removed ones.
        latents: what follows.
        unfinished: whether an earlier takedown was stopped, and is finished first.
    """

    dataset: str
    digest: str | None
    seen_in: tuple[str, ...]
    found: tuple[str, ...]
    already: tuple[str, ...]
    absent: tuple[str, ...]
    units: tuple[UnitPlan, ...]
    look_alikes: tuple[str, ...]
    latents: tuple[LatentsPlan, ...]
    unfinished: bool

    @property
    def rejected_later(self) -> tuple[str, ...]:
        """Ids that are absent so far and recorded too: an ingest that did not finish may come to them."""
        return self.absent if self.digest is None and not self.unfinished else ()

    @property
    def samples(self) -> int:
        """Number of samples that are removed."""
        return sum(len(unit.keys) for unit in self.units)

    @property
    def rows(self) -> int:
        """Number of rows of the source table that lose their content."""
        return sum(unit.rows for unit in self.units)

    @property
    def shards(self) -> tuple[str, ...]:
        """Names of the tars that are rewritten."""
        return tuple(unit.shard for unit in self.units if unit.keys)


def plan_takedown(dataset: str, source_ids: Sequence[str], latents: Sequence[str] = ()) -> DatasetPlan:
    """What taking down these videos will do to a dataset and to latents of it.

    Args:
        latents: locations of latents that are not below the dataset's folder.

    Raises:
        AnimaticError: there is no dataset, it is an index of images, a record of it is damaged, or
            ``latents`` are not of this dataset.
    """
    folder = Folder(dataset)
    info, record = _read_records(folder), read_takedowns(folder)
    hashes = {hash_of_id(source_id): source_id for source_id in source_ids}
    found, units = _scan(folder, frozenset(source_ids))
    already = {hashes[digest] for digest in hashes_in(record["takedowns"]) & hashes.keys()}
    chosen = list(dict.fromkeys([*find_latents(folder), *_own(dataset, latents)]))
    versions = ShardVersions.of(
        record["takedowns"], [(unit.shard, unit.sha256) for unit in units if unit.keys]
    )
    return DatasetPlan(
        dataset=dataset,
        digest=info["digest"] if info else None,
        seen_in=tuple(_states_with(units, info, record["takedowns"], hashes.keys())),
        found=tuple(name for name in source_ids if name in found),
        already=tuple(name for name in source_ids if name in already - found),
        absent=tuple(name for name in source_ids if name not in found | already),
        units=tuple(units),
        look_alikes=_look_alikes(folder, info, {key for unit in units for key in unit.keys}),
        latents=tuple(plan_latents(info, url, versions) for url in chosen),
        unfinished="unfinished" in record,
    )


def require_clips(folder: Folder) -> None:
    """Raise AnimaticError unless a folder has a dataset of clips, finished or not."""
    _read_records(folder)


def _own(dataset: str, latents: Sequence[str]) -> list[str]:
    own = latents_of(dataset, latents)
    for url in latents:
        if url not in own:
            raise AnimaticError(f"the latents at {url} are not of {dataset}: leave them out, or name theirs")
    return own


def _read_records(folder: Folder) -> DatasetRecord | None:
    """dataset.json, or None where an ingest or a takedown did not finish."""
    if not folder.exists(DATASET) and (
        any(map(folder.exists, ("ingest.json", MADE_FROM_FILE))) or "unfinished" in read_takedowns(folder)
    ):
        return None
    info = read_dataset_record(folder)
    if info["config"].get("kind") == "images":
        raise AnimaticError(
            f"{folder} is an index of image tars, which animatic never changes: remove the images from the "
            f"tars, then run `animatic index-images {folder}` again"
        )
    return info


def _states_with(
    units: Sequence[UnitPlan],
    info: DatasetRecord | None,
    takedowns: Sequence[Takedown],
    hashes: Collection[str],
) -> list[str]:
    """Digests of the states that had samples: the present one, or those until the last takedown of an id."""
    before = [each["digest"] for each in takedowns]
    if any(unit.keys for unit in units):
        before.append(info["digest"] if info else None)
    else:
        wanted = set(hashes)
        removing = [n for n, each in enumerate(takedowns) if _removed(each, wanted)]
        before = before[: removing[-1] + 1] if removing else []
    return list(dict.fromkeys(digest for digest in before if digest is not None))


def _removed(takedown: Takedown, hashes: set[str]) -> bool:
    return takedown["samples"] > 0 and bool(hashes & set(takedown["source_ids"]))


def _scan(folder: Folder, source_ids: frozenset[str]) -> tuple[set[str], list[UnitPlan]]:
    """Which ids have rows, and the units with them. Holds one manifest at a time, and a few read ahead."""
    found, units = set[str](), list[UnitPlan]()
    for manifest in read_units(folder, sorted(committed_units(folder)), UnitManifest):
        samples = [row for row in manifest["samples"] if row["source_id"] in source_ids]
        rows = [row["source_id"] for row in manifest["rows"] if row["source_id"] in source_ids]
        if not samples and not rows:
            continue
        found.update(rows, (row["source_id"] for row in samples))
        shard = manifest["shard"]
        size = sum(where.size for row in samples for where in member_ranges(row).values())
        keys = tuple(row["key"] for row in samples)
        units.append(UnitPlan(manifest["unit"], shard["name"], shard["sha256"], keys, len(rows), size))
    return found, units


def _look_alikes(folder: Folder, info: DatasetRecord | None, keys: set[str]) -> tuple[str, ...]:
    if not keys or info is None or DUPLICATES not in info["files"]:
        return ()
    table = pq.read_table(io.BytesIO(folder.read(DUPLICATES)), columns=["key", "duplicate_of"])
    removed = pc.or_(*(pc.is_in(table[name], value_set=_strings(keys)) for name in table.column_names))
    pairs = table.filter(removed).to_pylist()
    return tuple(sorted({name for pair in pairs for name in pair.values()} - keys))


def _strings(keys: set[str]) -> pa.Array:
    return pa.array(sorted(keys), pa.string())
