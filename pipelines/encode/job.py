"""The job: the clips of a dataset → latents that training reads in place of pixels, on Ray actors.

A unit of work is one shard of the dataset. Its latents depend on the shard, the transform and the codec
alone, and its manifest names the shard by digest: running again makes what is missing, and after the dataset
has grown only what has changed.
"""

import hashlib
import io
import json
import time
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from models.errors import AnimaticError
from pipelines.cluster.by_shard import Progress, absolute, run_by_shard
from pipelines.dataset import Dataset
from pipelines.dataset.latents import BEGUN, FORMAT, INFO, SCHEMA, TABLE, LatentKey, latents_digest, read_info
from pipelines.dataset.units import committed_units, read_unit, unit_name
from pipelines.encode.unit import EncodeConfig, UnitEncoder, load_models
from pipelines.storage import Folder, canonical_json
from pipelines.storage.claim import claimed

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
    with claimed(folder, "encode"):
        folder.write(BEGUN, canonical_json(key.identity()))
        # From here on the latents are in between two states of the dataset: nobody may take them for either.
        folder.remove(INFO)
        kept = _current_units(folder, dataset)
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
    return all(folder.size(shard["name"]) == shard["bytes"] for shard in info["shards"])


def _current_units(folder: Folder, dataset: Dataset) -> set[int]:
    """Committed units whose tar is there and whose source shard is still the dataset's."""
    shards = dataset.info["shards"]
    kept = set()
    for unit in committed_units(folder):
        manifest = read_unit(folder, unit)
        current = unit < len(shards) and manifest["source"] == shards[unit]["sha256"]
        if current and folder.size(manifest["shard"]["name"]) == manifest["shard"]["bytes"]:
            kept.add(unit)
    return kept


def _commit(folder: Folder, dataset: Dataset, key: LatentKey) -> dict[str, Any]:
    """Build the table from the manifests, in the dataset's order, and put latents.json in place."""
    manifests = [read_unit(folder, unit) for unit in range(len(dataset.info["shards"]))]
    rows = {row["key"]: row for m in manifests for row in [*m["samples"], *m["failed"]]}
    keys = dataset.samples["key"].to_pylist()
    if rows.keys() != set(keys):
        raise AnimaticError(
            f"{folder}: the unit manifests have {len(rows)} samples, not {len(keys)} as {dataset.folder}; "
            "encode into a new folder"
        )
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([rows[k] for k in keys], SCHEMA), buffer, compression="zstd")
    folder.write(TABLE, buffer.getvalue())
    failed = sum(len(manifest["failed"]) for manifest in manifests)
    files = {unit_name(unit): canonical_json(manifest) for unit, manifest in enumerate(manifests)}
    files[TABLE] = buffer.getvalue()
    info = {
        "format": FORMAT,
        "dataset": dataset.digest,
        "config": key.identity(),
        "counts": {"samples": len(keys), "encoded": len(keys) - failed, "failed": failed},
        "shards": [manifest["shard"] for manifest in manifests],
        "files": {name: hashlib.sha256(data).hexdigest() for name, data in files.items()},
    }
    info["digest"] = latents_digest(info)
    folder.write(INFO, json.dumps(info, indent=1, ensure_ascii=False).encode())
    return info


def _report(info: dict[str, Any], started: float, skipped: int) -> EncodeReport:
    return EncodeReport(
        **info["counts"],
        bytes=sum(shard["bytes"] for shard in info["shards"]),
        digest=info["digest"],
        seconds=time.monotonic() - started,
        skipped_units=skipped,
    )
