"""Latents read again: every digest and count."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from core.errors import AnimaticError
from core.storage import Folder
from pipelines.dataset.integrity import altered, compared
from pipelines.dataset.latents import TABLE, read_info


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
        info = read_info(folder)
    except AnimaticError as error:
        return [str(error)]
    expected = {shard["name"]: shard["sha256"] for shard in info["shards"]} | info["files"]
    problems = _strays(folder, info)
    for done, found in enumerate(altered(folder, expected, threads), start=1):
        problems += found
        progress(done, len(expected))
    return problems or _miscounted(folder, info)


def _strays(folder: Folder, info: dict[str, Any]) -> list[str]:
    """Tars that whoever reads the folder's would take for these latents."""
    expected = {shard["name"] for shard in info["shards"]}
    present = {name for name in folder.names() if name.startswith("latents-") and name.endswith(".tar")}
    return [f"{name}: not part of the latents" for name in sorted(present - expected)]


def _miscounted(folder: Folder, info: dict[str, Any]) -> list[str]:
    samples = encoded = 0
    try:
        with folder.open(TABLE) as file:
            for batch in pq.ParquetFile(file).iter_batches(columns=["failure"]):
                samples += len(batch)
                encoded += batch.column(0).null_count
    except pa.ArrowException as error:
        return [f"{TABLE}: cannot be read ({error})"]
    counts = {"samples": samples, "encoded": encoded, "failed": samples - encoded}
    return compared(TABLE, "what it counts", counts, info["counts"])
