"""Source videos that were removed from a dataset for good: takedowns.json, which outlives dataset.json.

It is written before anything is removed. From then on ingest and retry reject rows with these ids, and a
dataset with one of them is not completed. ``history`` of dataset.json is a copy of it. An id is recorded as
its sha256 alone.
"""

import hashlib
import json
from collections.abc import Collection
from typing import NotRequired

from typing_extensions import TypedDict

from core.errors import AnimaticError
from core.storage import Folder
from pipelines.dataset.record_files import DamagedRecordError, parse_record
from pipelines.dataset.records import RowOutcome, Settings, Takedown, UnitManifest

TAKEDOWNS = "takedowns.json"
TAKEN_DOWN = "taken_down"  # the reason by which its rows are rejected
TAKEDOWNS_FORMAT = 1
_REMEDY = "restore it from a copy: it names the videos that must not come back"


class UnfinishedTakedown(TypedDict):
    """What a takedown that was stopped needs to continue.

    ``config`` are the settings of the dataset, null if its ingest had not finished; ``units`` and ``rows``
    are their numbers. ``tables`` are the sha256 of the tables that it replaces, ``latents`` the locations of
    latents that follow.
    """

    config: Settings | None
    units: int
    rows: int
    tables: list[str]
    latents: list[str]


class TakedownsRecord(TypedDict):
    """takedowns.json: all takedowns in order; with ``unfinished``, the last one has begun and not ended."""

    format: int
    takedowns: list[Takedown]
    unfinished: NotRequired[UnfinishedTakedown]


def hash_of_id(source_id: str) -> str:
    """What is recorded of the id of a source video: its sha256 in hex."""
    return hashlib.sha256(source_id.encode()).hexdigest()


def read_takedowns(folder: Folder) -> TakedownsRecord:
    """Content of takedowns.json; no takedowns if there is none.

    Raises DamagedRecordError if it is damaged or of a later version.
    """
    try:
        content = folder.read(TAKEDOWNS)
    except FileNotFoundError:
        return {"format": TAKEDOWNS_FORMAT, "takedowns": []}
    record = parse_record(TakedownsRecord, content, f"{folder}/{TAKEDOWNS}", _REMEDY)
    if record["format"] != TAKEDOWNS_FORMAT:
        raise DamagedRecordError(
            f"{folder}/{TAKEDOWNS} has format {record['format']}, not {TAKEDOWNS_FORMAT}: use the version of "
            "animatic that wrote it"
        )
    return record


def write_takedowns(folder: Folder, record: TakedownsRecord) -> None:
    """Replace takedowns.json."""
    folder.write(TAKEDOWNS, json.dumps(record, indent=1, ensure_ascii=False).encode())


def hashes_in(takedowns: Collection[Takedown]) -> frozenset[str]:
    """The sha256 of every id that was taken down."""
    return frozenset(digest for takedown in takedowns for digest in takedown["source_ids"])


def finished_takedowns(folder: Folder) -> list[Takedown]:
    """The takedowns of a folder that a job is about to write to.

    Raises AnimaticError if one has begun and not ended.
    """
    record = read_takedowns(folder)
    if "unfinished" in record:
        raise AnimaticError(
            f"a takedown of {folder} has begun ({record['takedowns'][-1]['date']}) and did not finish: "
            "run the same `animatic takedown` again first"
        )
    return record["takedowns"]


def taken_down_outcome(row: int, digest: str) -> RowOutcome:
    """What is left of a row whose id has this sha256: nothing that names the video."""
    return {
        "row": row,
        "source_id": "",
        "samples": 0,
        "reason": TAKEN_DOWN,
        "detail": f"sha256 of its id: {digest}",
        "record": {},
    }


def holds_any(manifest: UnitManifest, hashes: frozenset[str]) -> bool:
    """Whether a unit has a row or a sample of one of these ids."""
    entries = (*manifest["rows"], *manifest["samples"])
    return any(entry["source_id"] and hash_of_id(entry["source_id"]) in hashes for entry in entries)
