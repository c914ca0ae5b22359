"""Units → a dataset: the tables built from their manifests, and dataset.json, which is written last."""

import contextlib
from collections.abc import Iterator, Sequence

from core.canonical_json import digest_of
from core.errors import AnimaticError
from core.files import sha256
from core.storage import Folder
from pipelines.dataset.clip_units import count_outcomes, source_matches
from pipelines.dataset.dataset_record import write_dataset_record
from pipelines.dataset.duplicates import DUPLICATES, write_duplicates
from pipelines.dataset.records import (
    Counts,
    DatasetRecord,
    RowOutcome,
    Settings,
    ShardRecord,
    UnitManifest,
    UnitSource,
)
from pipelines.dataset.tables import SAMPLES, DatasetTables, rejected, writing_tables
from pipelines.dataset.takedowns import hashes_in, holds_any, read_takedowns
from pipelines.dataset.units import read_units, unit_name


def commit_dataset(
    folder: Folder, config: Settings, units: int, rows: int, sources: Sequence[UnitSource] | None = None
) -> DatasetRecord:
    """Build the tables from the manifests of units 0 … units-1 and write dataset.json.

    Args:
        rows: source rows, each of which must have an outcome.
        sources: what each unit must have been made from; None does not check.

    Raises:
        AnimaticError: if a row is not accounted for, a unit was made from something else, or one has a video
            that was taken down.
    """
    history = read_takedowns(folder)["takedowns"]
    with contextlib.ExitStack() as files:
        tables = files.enter_context(writing_tables(folder))
        collected = _Units(folder, units, sources, hashes_in(history))
        counts = _accounted(folder, collected.outcomes(tables), rows)
        if counts["samples"] != sum(shard["samples"] for shard in collected.shards):
            raise AnimaticError(f"{folder}: the unit manifests contradict themselves; ingest it again")
        paths = tables.finish()
        distance = _duplicate_distance(config)
        if distance is not None:
            paths[DUPLICATES] = files.enter_context(folder.creating(DUPLICATES))
            write_duplicates(paths[SAMPLES], paths[DUPLICATES], distance)
        digests = collected.digests | {name: sha256(path) for name, path in paths.items()}
    return write_dataset_record(folder, config, counts, collected.shards, digests, history)


class _Units:
    """The manifests of a dataset's units, read once, in order.

    Attributes:
        shards: those of the manifests read so far.
        digests: of these manifests, by file name.
    """

    def __init__(
        self, folder: Folder, units: int, sources: Sequence[UnitSource] | None, taken_down: frozenset[str]
    ) -> None:
        self._folder, self._units, self._sources = folder, units, sources
        self._taken_down = taken_down
        self.shards: list[ShardRecord] = []
        self.digests: dict[str, str] = {}

    def outcomes(self, tables: DatasetTables) -> Iterator[RowOutcome]:
        """Outcomes of all rows; those of a unit follow once its rows of both tables are written."""
        for manifest in read_units(self._folder, range(self._units), UnitManifest):
            self._require_source(manifest)
            self._require_absence(manifest)
            self.shards.append(manifest["shard"])
            self.digests[unit_name(manifest["unit"])] = digest_of(manifest)
            tables.samples.add(manifest["samples"])
            tables.rejects.add(rejected(manifest["rows"]))
            yield from manifest["rows"]

    def _require_source(self, manifest: UnitManifest) -> None:
        unit, sources = manifest["unit"], self._sources
        if sources is None:
            return
        if unit >= len(sources) or not source_matches(manifest.get("source", {}), sources[unit]):
            raise AnimaticError(
                f"{self._folder}/{unit_name(unit)} has other rows or settings than this job: another job, or "
                "a worker of one that was stopped, wrote here meanwhile; run animatic ingest again"
            )

    def _require_absence(self, manifest: UnitManifest) -> None:
        if self._taken_down and holds_any(manifest, self._taken_down):
            raise AnimaticError(
                f"{self._folder}/{unit_name(manifest['unit'])} has a video that was taken down: another job, "
                "or a worker of one that was stopped, wrote here meanwhile; delete this file and run "
                "animatic ingest again"
            )


def _accounted(folder: Folder, outcomes: Iterator[RowOutcome], rows: int) -> Counts:
    """Counts of outcomes that must be those of source rows 0 … rows-1, in order."""
    misplaced = 0

    def checked() -> Iterator[RowOutcome]:
        nonlocal misplaced
        for expected, outcome in enumerate(outcomes):
            misplaced += outcome["row"] != expected
            yield outcome

    counts = count_outcomes(checked())
    if misplaced or counts["rows"] != rows:
        raise AnimaticError(
            f"{folder}: the unit manifests have {counts['rows']} rows and {counts['samples']} samples "
            f"where the source had {rows} rows when it was counted; run animatic ingest again"
        )
    return counts


def _duplicate_distance(config: Settings) -> int | None:
    filters = config.get("filters")
    distance = filters.get("duplicate_distance") if isinstance(filters, dict) else None
    return distance if isinstance(distance, int) else None
