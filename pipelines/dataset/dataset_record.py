"""dataset.json, the completion record of a dataset; its digest identifies the dataset downstream."""

import json
from collections.abc import Sequence

from core.canonical_json import canonical_json, digest_of
from core.errors import AnimaticError
from core.storage import Folder
from pipelines.dataset.made_from import MADE_FROM_FILE
from pipelines.dataset.record_files import read_completion_record
from pipelines.dataset.records import FORMAT, Counts, DatasetRecord, Settings, ShardRecord, Takedown
from pipelines.dataset.takedowns import read_takedowns

DATASET = "dataset.json"
REMEDY = "delete dataset.json and run ingest (for images index-images) again"


def dataset_digest(config: Settings, shards: Sequence[ShardRecord]) -> str:
    """The identity of a dataset: its configuration and the bytes of its shards."""
    return digest_of([digest_of(config), [shard["sha256"] for shard in shards]])


def write_dataset_record(
    folder: Folder,
    config: Settings,
    counts: Counts,
    shards: Sequence[ShardRecord],
    files: dict[str, str],
    history: list[Takedown] | None = None,
) -> DatasetRecord:
    """Complete a dataset whose other files are written; ``files`` are their sha256 by name."""
    record: DatasetRecord = {
        "format": FORMAT,
        "config": json.loads(canonical_json(config)),  # equal bytes for equal settings, in any order
        "counts": counts,
        "shards": shards,
        "files": files,
        "digest": dataset_digest(config, shards),
    }
    if history:
        record["history"] = history
    with folder.creating(DATASET) as part, part.open("w", encoding="utf-8", newline="") as file:
        json.dump(record, file, indent=1, ensure_ascii=False)  # piece by piece: there may be many shards
    return record


def read_dataset_record(folder: Folder) -> DatasetRecord:
    """Content of dataset.json. Raises AnimaticError if it is missing or damaged."""
    try:
        return read_completion_record(
            folder,
            DATASET,
            DatasetRecord,
            version=FORMAT,
            digest=lambda record: dataset_digest(record["config"], record["shards"]),
            remedy=REMEDY,
        )
    except FileNotFoundError as error:
        raise AnimaticError(f"no dataset at {folder} ({_cause_of_absence(folder)})") from error


def require_unchanged(folder: Folder, digest: str) -> None:
    """Raise AnimaticError if the folder's dataset has another digest by now.

    What was computed of videos that were taken down since must not be stored.
    """
    if read_dataset_record(folder)["digest"] != digest:
        raise AnimaticError(f"{folder} was changed meanwhile, by a takedown or an ingest: run this again")


def _cause_of_absence(folder: Folder) -> str:
    if "unfinished" in read_takedowns(folder):
        return "a takedown is changing it, or did not finish: wait for it, or run the same takedown again"
    if folder.exists("ingest.json"):
        return "its ingest did not finish: run it again"
    if folder.exists(MADE_FROM_FILE):
        return "the copying did not finish: run the same animatic dataset command again"
    return "create one with animatic ingest"
