"""similarity/unit-….json: scores of image and caption of one shard's samples, of which a table is built."""

from typing_extensions import TypedDict

from core.storage import Folder
from pipelines.dataset.record_files import DamagedRecordError, parse_record
from pipelines.dataset.records import ShardRecord

Score = float | None


class UnitScores(TypedDict):
    """similarity/unit-….json: sha256 of the shard, digest of the CLIP weights, and a score for each sample.

    The score is None where the image cannot be read.
    """

    shard: str
    weights: str
    scores: list[Score]


def scores_name(unit: int) -> str:
    """Name of the file of a unit's scores."""
    return f"similarity/unit-{unit:06d}.json"


def read_scores(folder: Folder, unit: int) -> UnitScores | None:
    """Scores of a unit, None if they are missing or damaged."""
    name = scores_name(unit)
    try:
        return parse_record(UnitScores, folder.read(name), f"{folder}/{name}", "score again")
    except (FileNotFoundError, DamagedRecordError):
        return None


def current_scores(folder: Folder, unit: int, shard: ShardRecord, weights: str) -> list[Score] | None:
    """Scores of a unit, None if they are missing, damaged, or of another shard or other weights."""
    stored = read_scores(folder, unit)
    if stored is None or (stored["shard"], stored["weights"]) != (shard["sha256"], weights):
        return None
    return stored["scores"] if len(stored["scores"]) == shard["samples"] else None
