"""Scores of image and caption by earlier versions, whose units have files in a folder of their own."""

from typing_extensions import TypedDict

from pipelines.cluster.column_jobs import WantedColumn
from pipelines.dataset import Dataset
from pipelines.dataset.columns import (
    EARLIER_SCORES,
    current_unit_values,
    earlier_scores_file,
    write_unit_values,
)
from pipelines.dataset.record_files import DamagedRecordError, parse_record


class _UnitScores(TypedDict):
    shard: str
    weights: str
    scores: list[float | None]


def adopt_earlier_scores(dataset: Dataset, column: WantedColumn) -> None:
    """Store the scores of earlier versions by the same model as values of the column; remove their folder."""
    folder = dataset.folder
    if not folder.names(EARLIER_SCORES):
        return
    for unit, shard in enumerate(dataset.info["shards"]):
        if current_unit_values(folder, column.name, unit, shard, column.digest) is not None:
            continue
        file = earlier_scores_file(unit)
        try:
            stored = parse_record(_UnitScores, folder.read(file), f"{folder}/{file}", "score again")
        except (FileNotFoundError, DamagedRecordError):
            continue
        if (stored["shard"], stored["weights"]) == (shard["sha256"], column.source["weights"]):
            write_unit_values(folder, column.name, unit, shard, column.digest, [*stored["scores"]])
    folder.remove_tree(EARLIER_SCORES)
