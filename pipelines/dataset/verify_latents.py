"""Verification of latents: every digest and count."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from core.errors import AnimaticError
from core.storage import Folder
from pipelines.dataset.integrity import digest_problems, mismatch, unexpected
from pipelines.dataset.latent_records import TABLE, LatentCounts, LatentsRecord, read_latents_record


def verify_latents(
    url: str | Path,
    *,
    threads: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[str]:
    """What is wrong with latents, one problem a line; nothing if they are whole.

    ``progress`` gets (files done, files).
    """
    folder = Folder(url)
    try:
        info = read_latents_record(folder)
    except AnimaticError as error:
        return [str(error)]
    expected = {shard["name"]: shard["sha256"] for shard in info["shards"]} | info["files"]
    problems = _unexpected_files(folder, info)
    for done, found in enumerate(digest_problems(folder, expected, threads), start=1):
        problems += found
        progress(done, len(expected))
    return problems or _miscounted(folder, info)


def _unexpected_files(folder: Folder, info: LatentsRecord) -> list[str]:
    """Tars that a reader of all tars in the folder would treat as these latents."""
    expected = {shard["name"] for shard in info["shards"]}
    present = {name for name in folder.names() if name.startswith("latents-") and name.endswith(".tar")}
    return unexpected(present, expected, "latents")


def _miscounted(folder: Folder, info: LatentsRecord) -> list[str]:
    samples = encoded = 0
    try:
        with folder.open(TABLE) as file:
            for batch in pq.ParquetFile(file).iter_batches(columns=["failure"]):
                samples += len(batch)
                encoded += batch.column(0).null_count
    except pa.ArrowException as error:
        return [f"{TABLE}: cannot be read ({error})"]
    counts: LatentCounts = {"samples": samples, "encoded": encoded, "failed": samples - encoded}
    return mismatch(TABLE, "what it counts", counts, info["counts"])
