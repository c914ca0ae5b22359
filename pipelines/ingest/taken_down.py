"""Rows of videos that were taken down: rejected before anything is fetched, and recorded without content."""

from dataclasses import replace

from pipelines.dataset.takedowns import TAKEN_DOWN, hash_of_id, taken_down_outcome
from pipelines.sources import SourceRow


def without_taken_down(rows: list[SourceRow], hashes: frozenset[str]) -> list[SourceRow]:
    """The rows; those whose id has one of these sha256 have no content left, and are rejected."""
    if not hashes:
        return rows
    return [_emptied(row) if hash_of_id(row.source_id) in hashes else row for row in rows]


def _emptied(row: SourceRow) -> SourceRow:
    outcome = taken_down_outcome(row.row, hash_of_id(row.source_id))
    return replace(row, record={}, problem=TAKEN_DOWN, detail=outcome["detail"], more_captions=())
