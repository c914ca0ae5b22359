"""Which latents are of a dataset, and which of their tars have samples that are taken down."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from core.errors import AnimaticError
from core.storage import Folder
from pipelines.dataset.dataset_record import DATASET, read_dataset_record
from pipelines.dataset.latent_records import LATENTS, LatentManifest, holds_latents, read_latents_record
from pipelines.dataset.records import DatasetRecord, Takedown, UnitManifest
from pipelines.dataset.takedowns import read_takedowns
from pipelines.dataset.units import committed_units, read_unit, read_units


@dataclass(frozen=True)
class ShardVersions:
    """What a dataset was before its takedowns.

    Attributes:
        before: every sha256 that its rewritten tars had, by name.
        digests: its own.
    """

    before: dict[str, frozenset[str]]
    digests: frozenset[str]

    @classmethod
    def of(cls, takedowns: Sequence[Takedown], more: Sequence[tuple[str, str]] = ()) -> "ShardVersions":
        """That of earlier takedowns, and ``more``: names and sha256 of tars to be rewritten."""
        recorded = [(shard["name"], shard["sha256"]) for each in takedowns for shard in each["shards"]]
        names: dict[str, set[str]] = {}
        for name, digest in (*recorded, *more):
            names.setdefault(name, set()).add(digest)
        digests = frozenset(each["digest"] for each in takedowns if each["digest"] is not None)
        return cls({name: frozenset(found) for name, found in names.items()}, digests)

    @property
    def units(self) -> dict[int, frozenset[str]]:
        """The same by the number of the unit."""
        return {
            int(PurePosixPath(name).stem.rpartition("-")[2]): found for name, found in self.before.items()
        }

    def __contains__(self, digest: str) -> bool:
        return any(digest in found for found in self.before.values())


@dataclass(frozen=True)
class LatentsPlan:
    """What a takedown will do to latents.

    Attributes:
        shards: names of the tars that are rewritten without the removed samples.
        stale: of tars that are deleted, because they are of another state of the dataset; `animatic encode`
            makes them again.
    """

    latents: str
    shards: tuple[str, ...]
    stale: tuple[str, ...]


def find_latents(folder: Folder) -> list[str]:
    """Locations of the latents in subfolders of a dataset's folder."""
    locations = (f"{folder.url.rstrip('/')}/{name}" for name in folder.subfolders())
    return [url for url in locations if holds_latents(url)]


def latents_of(dataset: str, latents: Sequence[str]) -> list[str]:
    """Those of the latents at these locations that are of a dataset, or were of it before takedowns.

    Raises AnimaticError if there are no latents at one of them, or a record is damaged.
    """
    if not latents:
        return []
    folder = Folder(dataset)
    versions = ShardVersions.of(read_takedowns(folder)["takedowns"])
    digests = set(versions.digests)
    if folder.exists(DATASET):
        info = read_dataset_record(folder)
        digests.add(info["digest"])
        shards = info["shards"]
    else:  # an ingest that did not finish
        committed = sorted(committed_units(folder))
        shards = [manifest["shard"] for manifest in read_units(folder, committed, UnitManifest)]
    present = {shard["sha256"] for shard in shards}
    return [url for url in latents if _are_of(_existing(url), digests, present, versions)]


def _existing(url: str) -> Folder:
    if not holds_latents(url):
        raise AnimaticError(f"no latents at {url}: name a folder that `animatic encode` wrote")
    return Folder(url)


def plan_latents(info: DatasetRecord | None, url: str, versions: ShardVersions) -> LatentsPlan:
    """What will be done to the latents at ``url`` once tars of the dataset are no longer ``versions``.

    Raises AnimaticError if there are none, or a record of theirs is damaged.
    """
    latents = _existing(url)
    committed = committed_units(latents)
    current = {unit: shard["sha256"] for unit, shard in enumerate(info["shards"] if info else [])}
    affected = {unit: versions.units[unit] for unit in sorted(committed & versions.units.keys())}
    manifests = {unit: read_unit(latents, unit, LatentManifest) for unit in affected}
    rewritten, stale = list[str](), list[str]()
    for unit, manifest in manifests.items():
        name = manifest["shard"]["name"]
        if manifest["source"] in affected[unit]:
            rewritten.append(name)
        elif manifest["source"] != current.get(unit):
            stale.append(name)
    return LatentsPlan(url, tuple(rewritten), tuple(stale))


def _are_of(
    latents: Folder, digests: Collection[str], shards: Collection[str], versions: ShardVersions
) -> bool:
    """Whether latents are of one of the states of a dataset, or of one of its tars as it is or was."""
    if latents.exists(LATENTS) and read_latents_record(latents)["dataset"] in digests:
        return True
    units = sorted(committed_units(latents))
    sources = (manifest["source"] for manifest in read_units(latents, units, LatentManifest))
    return any(source in shards or source in versions for source in sources)
