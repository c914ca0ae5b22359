"""Datasets of any size without a clip: tables and records as ingest writes them, but no tars."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from core.files import sha256
from pipelines.dataset.columns import CLIP_SIMILARITY, column_file
from pipelines.dataset.dataset_record import DATASET, dataset_digest
from pipelines.dataset.records import FORMAT, Settings, ShardRecord
from pipelines.dataset.tables import GROUP_ROWS, SAMPLES, SAMPLES_SCHEMA

SIZES = ((320, 180), (256, 256), (180, 320))  # width, height
_CONFIG: Settings = {"simulated": True}
_WORDS = [
    "a",
    "slow",
    "aerial",
    "view",
    "of",
    "young",
    "woman",
    "man",
    "walking",
    "in",
    "park",
    "at",
    "sunset",
    "over",
    "city",
    "beach",
    "forest",
    "road",
]


def simulate(folder: Path, samples: int, shard_samples: int = 256) -> str:
    """Write a dataset of so many samples; returns its digest.

    Every third clip has one of three shapes, and one in ten is too short for a sample of 16 frames.
    """
    folder.mkdir(parents=True)
    sizes = [min(shard_samples, samples - start) for start in range(0, samples, shard_samples)]
    shards = [
        ShardRecord(name=_shard_name(number), sha256=_sha256(number), bytes=size << 19, samples=size)
        for number, size in enumerate(sizes)
    ]
    _write_table(folder / SAMPLES, samples, shard_samples)
    digest = dataset_digest(_CONFIG, shards)
    files = {f"units/unit-{n:06d}.json": _sha256(-n) for n in range(len(shards))}
    record = {
        "format": FORMAT,
        "config": _CONFIG,
        "counts": {
            "rows": samples,
            "samples": samples,
            "rejected_rows": 0,
            "reasons": {},
            "dropped_clips": {},
        },
        "shards": shards,
        "files": files | {SAMPLES: sha256(folder / SAMPLES)},
        "digest": digest,
    }
    with (folder / DATASET).open("w") as file:
        json.dump(record, file, indent=1, ensure_ascii=False)
    _write_scores(folder / column_file(CLIP_SIMILARITY), samples, digest)
    return digest


def _write_table(path: Path, samples: int, shard_samples: int) -> None:
    captions = _captions()
    with pq.ParquetWriter(path, SAMPLES_SCHEMA, compression="zstd") as writer:
        for rows in _groups(samples):
            writer.write_table(_group(rows, shard_samples, captions), GROUP_ROWS)


def _groups(samples: int) -> Iterator[npt.NDArray[np.int64]]:
    for start in range(0, samples, GROUP_ROWS):
        yield np.arange(start, min(samples, start + GROUP_ROWS))


def _group(rows: npt.NDArray[np.int64], shard_samples: int, captions: pa.Array) -> pa.Table:
    count, random = len(rows), np.random.default_rng(int(rows[0]))
    shards, shard_of = np.unique(rows // shard_samples, return_inverse=True)
    names = pa.array([_shard_name(int(shard)) for shard in shards])
    sizes = {"jpg": 20_000, "json": 1_500, "mp4": 500_000, "txt": 70}
    columns: dict[str, pa.Array] = {
        "key": _keys(rows),
        "shard": names.take(pa.array(shard_of)),
        "caption": captions.take(pa.array(random.integers(0, len(captions), count))),
        "source_id": pc.cast(pa.array(rows + 10**9), pa.string()),
        "frames": pa.array(np.where(rows % 10 == 0, 12, random.integers(48, 480, count)), pa.int32()),
        "fps": pa.array(np.full(count, 30.0)),
        "duration": pa.array(random.uniform(2, 20, count)),
        "condition_frame": pa.array(random.integers(0, 12, count), pa.int32()),
        "phash": pa.array(_hex(random, count)),
    }
    shapes = np.array(SIZES)[rows % len(SIZES)]
    columns |= {name: pa.array(shapes[:, side], pa.int32()) for side, name in enumerate(("width", "height"))}
    columns |= {
        name: pa.array(random.random(count), pa.float32()) for name in ("motion", "brightness", "text")
    }
    start = (rows % shard_samples) << 19
    for member, size in sizes.items():
        columns[f"{member}_offset"] = pa.array(start + 512)
        columns[f"{member}_size"] = pa.array(random.integers(size // 2, size, count))
        start = start + 512 + size
    empty = pa.array([[]] * count, pa.list_(pa.int64()))
    columns |= dict.fromkeys(("more_jpg_offset", "more_jpg_size"), empty)
    missing = [field for field in SAMPLES_SCHEMA if field.name not in columns]
    columns |= {field.name: pa.nulls(count, field.type) for field in missing}
    return pa.table([columns[name] for name in SAMPLES_SCHEMA.names], schema=SAMPLES_SCHEMA)


def _write_scores(path: Path, samples: int, digest: str) -> None:
    schema = pa.schema([("key", pa.string()), (CLIP_SIMILARITY, pa.float32())], {"dataset": digest})
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for rows in _groups(samples):
            values = np.random.default_rng(int(rows[0])).random(len(rows), np.float32)
            writer.write_table(pa.table([_keys(rows), pa.array(values)], schema=schema))


def _keys(rows: npt.NDArray[np.int64]) -> pa.Array:
    return pc.binary_join_element_wise(pc.cast(pa.array(rows + 10**9), pa.string()), "000", "-")


def _captions() -> pa.Array:
    random = np.random.default_rng(0)
    return pa.array([" ".join(random.choice(_WORDS, 10)) for _ in range(1 << 15)])


def _hex(random: np.random.Generator, count: int) -> list[str]:
    text = random.bytes(32 * count).hex()
    return [text[64 * number : 64 * number + 64] for number in range(count)]


def _shard_name(shard: int) -> str:
    return f"shard-{shard:06d}.tar"


def _sha256(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()
