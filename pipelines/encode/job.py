"""The job: the clips of a dataset → latents that training reads in place of pixels, on Ray actors.

A unit of work is one shard of the dataset. Its latents depend on the shard, the transform and the codec
alone, and its manifest names the shard by digest: running again makes what is missing, and after the dataset
has grown only what has changed.
"""

import json
import time
from dataclasses import dataclass
from typing import Any

from core.canonical_json import canonical_json, digest_of
from core.errors import AnimaticError
from core.files import sha256
from core.lock import exclusive_lock
from core.storage import Folder
from core.urls import absolute
from pipelines.cluster.by_shard import Progress, run_by_shard
from pipelines.dataset import Dataset
from pipelines.dataset.latents import BEGUN, FORMAT, INFO, SCHEMA, TABLE, LatentKey, latents_digest, read_info
from pipelines.dataset.tables import TableWriter
from pipelines.dataset.units import committed_units, read_units, unit_name
from pipelines.encode.unit import EncodeConfig, UnitEncoder, load_models, made_of, shard_name

__all__ = ["EncodeConfig", "EncodeReport", "encode"]

_PLACES = tuple(f"{member}_{part}" for member in ("jpg", "mp4") for part in ("offset", "size"))
_COLUMNS = ("key", "shard", "caption", "frames", "height", "width", *_PLACES)


@dataclass(frozen=True)
class EncodeReport:
    """What the latents hold, and what this run did: ``skipped_units`` were there already."""

    samples: int
    encoded: int
    failed: int
    bytes: int
    digest: str
    seconds: float
    skipped_units: int


def encode(config: EncodeConfig, progress: Progress = lambda done, total: None) -> EncodeReport:
    """Make the latents of a dataset, or as much of them as is missing or out of date.

    ``progress`` gets (samples done, samples). Raises AnimaticError if the dataset, the codec or the text
    tower cannot be read, if the output holds something else, or if the codec's latents do not fit 16 bits.
    """
    started = time.monotonic()
    config = _absolute(config)
    dataset, folder = Dataset.open(config.dataset), Folder(config.output)
    _, _, key = load_models(config)
    _compare(folder, key)
    if folder.exists(INFO):
        info = read_info(folder)
        if info["dataset"] == dataset.digest and _whole(folder, info):
            return _report(info, started, skipped=len(info["shards"]))
    with exclusive_lock(folder, "encode"):
        _compare(folder, key)  # another encode may have begun meanwhile
        folder.write(BEGUN, canonical_json(key.identity()))
        # From here on the latents are in between two states of the dataset: nobody may take them for either.
        folder.remove(INFO)
        _remove_beyond(folder, len(dataset.info["shards"]))
        kept = _current_units(folder, dataset, key)
        arguments = (config.model_dump_json(), key)
        run_by_shard(config, dataset, UnitEncoder, arguments, columns=_COLUMNS, kept=kept, progress=progress)
        info = _commit(folder, dataset, key)
    return _report(info, started, skipped=len(kept))


def _absolute(config: EncodeConfig) -> EncodeConfig:
    """Ray workers have their own working directory."""
    changed: dict[str, Any] = {"dataset": absolute(config.dataset), "output": absolute(config.output)}
    for name in ("codec", "encoders"):
        part = getattr(config, name)
        if part is not None and part.path is not None:
            changed[name] = part.model_copy(update={"path": absolute(part.path)})
    return config.model_copy(update=changed)


def _compare(folder: Folder, key: LatentKey) -> None:
    """Refuse an output that was begun with something else."""
    try:
        begun = json.loads(folder.read(BEGUN))
    except FileNotFoundError:
        foreign = [name for name in folder.names() if not name.startswith(".")]
        if foreign:
            raise AnimaticError(
                f"{folder} is not empty and holds no latents (found {foreign[0]}); choose a new output folder"
            ) from None
        return
    except ValueError as error:
        raise AnimaticError(f"{folder}/{BEGUN} is damaged; choose a new output folder") from error
    wanted = key.identity()
    differing = sorted(name for name in begun | wanted if begun.get(name) != wanted.get(name))
    if differing:
        raise AnimaticError(
            f"{folder} holds latents with another {', '.join(differing)}; choose a new output folder"
        )


def _whole(folder: Folder, info: dict[str, Any]) -> bool:
    sizes = folder.sizes()
    return all(sizes.get(shard["name"]) == shard["bytes"] for shard in info["shards"])


def _current_units(folder: Folder, dataset: Dataset, key: LatentKey) -> set[int]:
    """Committed units whose tar is there and whose source shard is still the dataset's."""
    shards, sizes = dataset.info["shards"], folder.sizes()
    units = (unit for unit in sorted(committed_units(folder)) if unit < len(shards))
    return {
        manifest["unit"]
        for manifest in read_units(folder, units)
        if _is_of(manifest, key, shards[manifest["unit"]])
        and sizes.get(manifest["shard"]["name"]) == manifest["shard"]["bytes"]
    }


def _is_of(manifest: dict[str, Any], key: LatentKey, shard: dict[str, Any]) -> bool:
    wanted = made_of(key, shard)
    return {name: manifest.get(name) for name in wanted} == wanted


def _remove_beyond(folder: Folder, units: int) -> None:
    """Take away what an earlier, larger state of the dataset left."""
    for unit in sorted(committed_units(folder)):
        if unit >= units:
            folder.remove(unit_name(unit))
            folder.remove(shard_name(unit))


def _commit(folder: Folder, dataset: Dataset, key: LatentKey) -> dict[str, Any]:
    """Build the table from the manifests, in the dataset's order, and put latents.json in place."""
    shards, files = list[dict[str, Any]](), dict[str, str]()
    samples = failed = 0
    units = range(len(dataset.info["shards"]))
    with folder.creating(TABLE) as part:
        with TableWriter(part, SCHEMA) as table:
            for source, manifest in zip(dataset.info["shards"], read_units(folder, units), strict=True):
                keys = dataset.samples["key"].slice(samples, source["samples"]).to_pylist()
                table.add(_rows(folder, manifest, key, source, keys))
                files[unit_name(manifest["unit"])] = digest_of(manifest)
                shards.append(manifest["shard"])
                samples += len(keys)
                failed += len(manifest["failed"])
        files[TABLE] = sha256(part)
    info = {
        "format": FORMAT,
        "dataset": dataset.digest,
        "config": key.identity(),
        "counts": {"samples": samples, "encoded": samples - failed, "failed": failed},
        "shards": shards,
        "files": files,
    }
    info["digest"] = latents_digest(info)
    folder.write(INFO, json.dumps(info, indent=1, ensure_ascii=False).encode())
    return info


def _rows(
    folder: Folder, manifest: dict[str, Any], key: LatentKey, source: dict[str, Any], keys: list[str]
) -> list[dict[str, Any]]:
    """Rows of the table for the samples of one shard of the dataset, ``source``, in its order."""
    rows = {row["key"]: row for row in [*manifest["samples"], *manifest["failed"]]}
    if rows.keys() != set(keys) or not _is_of(manifest, key, source):
        raise AnimaticError(
            f"{folder}/{unit_name(manifest['unit'])} is not of {source['name']} as it is in the dataset: "
            "another job, or a worker of one that was stopped, wrote here meanwhile; encode again"
        )
    return [rows[key] for key in keys]


def _report(info: dict[str, Any], started: float, skipped: int) -> EncodeReport:
    return EncodeReport(
        **info["counts"],
        bytes=sum(shard["bytes"] for shard in info["shards"]),
        digest=info["digest"],
        seconds=time.monotonic() - started,
        skipped_units=skipped,
    )
