"""Units of latents → finished latents: the table built from their manifests, and latents.json, last."""

from core.canonical_json import digest_of
from core.errors import AnimaticError
from core.files import sha256
from core.storage import Folder
from pipelines.dataset.dataset import Dataset
from pipelines.dataset.latent_records import (
    SCHEMA,
    TABLE,
    FailedSample,
    LatentCounts,
    LatentKey,
    LatentManifest,
    LatentRow,
    LatentSource,
    LatentsRecord,
    write_latents_record,
)
from pipelines.dataset.records import ShardRecord
from pipelines.dataset.tables import TableWriter
from pipelines.dataset.units import read_units, unit_name


def source_of(key: LatentKey, shard: ShardRecord) -> LatentSource:
    """What the manifest of a unit records as its source: a shard of the dataset, and what encoded it."""
    return {"source": shard["sha256"], "key": digest_of(key.identity())}


def is_made_of(manifest: LatentManifest, key: LatentKey, shard: ShardRecord) -> bool:
    """Whether a unit is of this state of a shard, encoded as ``key`` says."""
    return source_of(key, shard) == {"source": manifest["source"], "key": manifest["key"]}


def commit_latents(folder: Folder, dataset: Dataset, key: LatentKey) -> LatentsRecord:
    """Build the table from the manifests, in the dataset's order, and write latents.json.

    Raises AnimaticError if a unit is missing, or not of its shard as it is in the dataset.
    """
    shards, files = list[ShardRecord](), dict[str, str]()
    samples = failed = 0
    units = range(len(dataset.info["shards"]))
    with folder.creating(TABLE) as part:
        with TableWriter(part, SCHEMA) as table:
            manifests = read_units(folder, units, LatentManifest)
            for source, manifest in zip(dataset.info["shards"], manifests, strict=True):
                keys = dataset.samples["key"].slice(samples, source["samples"]).to_pylist()
                table.add(_rows(folder, manifest, key, source, keys))
                files[unit_name(manifest["unit"])] = digest_of(manifest)
                shards.append(manifest["shard"])
                samples += len(keys)
                failed += len(manifest["failed"])
        files[TABLE] = sha256(part)
    counts: LatentCounts = {"samples": samples, "encoded": samples - failed, "failed": failed}
    return write_latents_record(folder, dataset.digest, key.identity(), counts, shards, files)


def _rows(
    folder: Folder, manifest: LatentManifest, key: LatentKey, source: ShardRecord, keys: list[str]
) -> list[LatentRow | FailedSample]:
    """Rows of the table for the samples of one shard of the dataset, ``source``, in its order."""
    rows: dict[str, LatentRow | FailedSample] = {row["key"]: row for row in manifest["samples"]}
    rows |= {row["key"]: row for row in manifest["failed"]}
    if rows.keys() != set(keys) or not is_made_of(manifest, key, source):
        raise AnimaticError(
            f"{folder}/{unit_name(manifest['unit'])} is not of {source['name']} as it is in the dataset: "
            "another job, or a worker of one that was stopped, wrote here meanwhile; encode again"
        )
    return [rows[key] for key in keys]
