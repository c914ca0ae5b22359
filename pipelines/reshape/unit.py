"""One unit: samples copied bit by bit from tars of the sources. This is what a worker does."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from core.errors import AnimaticError
from core.storage import Folder
from pipelines.dataset.clip_units import counts_of, stored_sample
from pipelines.dataset.records import RowOutcome, SampleRow, UnitCounts, UnitManifest, UnitSource
from pipelines.dataset.samples import StoredSample
from pipelines.dataset.unit_facts import commit_with_facts
from pipelines.dataset.units import opened_shard, read_unit, unit_name
from pipelines.reshape.plan import Piece, UnitPlan
from pipelines.reshape.rows import Rules, copied_rows


@dataclass(frozen=True)
class Copying:
    """From where to where samples are copied: folders or URLs, and what becomes of rows."""

    sources: tuple[str, ...]
    output: str
    rules: Rules


def copy_unit(copying: Copying, plan: UnitPlan, source: UnitSource) -> UnitCounts:
    """Make and commit one unit; runs as a Ray task. ``source`` is what the manifest records as its inputs.

    Raises AnimaticError if a source was changed since the unit was planned, or is damaged.
    """
    folder, outcomes = Folder(copying.output), list[RowOutcome]()
    with folder.scratch() as scratch:
        samples = _samples(copying, plan, scratch, outcomes)
        return counts_of(commit_with_facts(folder, plan.number, samples, outcomes, source))


def _samples(
    copying: Copying, plan: UnitPlan, scratch: Path, outcomes: list[RowOutcome]
) -> Iterator[StoredSample]:
    """Samples of the unit in order; ``outcomes`` gets its rows."""
    for piece in plan.pieces:
        url = copying.sources[piece.source]
        manifest = read_unit(Folder(url), piece.unit, UnitManifest)
        if manifest["shard"]["sha256"] != piece.shard:
            raise AnimaticError(
                f"{url}/{unit_name(piece.unit)} was changed since the work began, or is damaged: if a "
                "takedown or an ingest changed the dataset, run this again into a new folder"
            )
        copied, first = [], plan.first_row + len(outcomes)
        for outcome, rows in copied_rows(piece.of(manifest), copying.rules, piece.kept, first):
            outcomes.append(outcome)
            copied += rows
        if copied:
            yield from _copies(Folder(url), manifest, copied, piece, scratch)


def _copies(
    folder: Folder, manifest: UnitManifest, rows: list[SampleRow], piece: Piece, scratch: Path
) -> Iterator[StoredSample]:
    remedy = f"run `animatic verify {folder}`"
    with (
        tempfile.TemporaryDirectory(dir=scratch) as own,
        opened_shard(folder, manifest["shard"], Path(own), remedy) as tar,
    ):
        for row in rows:
            sample = stored_sample(tar, row)
            key = piece.renamed.get(row["key"], row["key"])
            yield StoredSample(sample.members, {**row, "key": key})
