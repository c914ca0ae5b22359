"""From a table to a finished dataset, or from an unfinished one."""

import functools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from core.config.locations import with_absolute_paths
from core.errors import AnimaticError
from core.lock import exclusive_lock
from core.storage import Folder
from pipelines.card import write_card
from pipelines.dataset.clip_units import counts_of, source_matches
from pipelines.dataset.commit import commit_dataset
from pipelines.dataset.dataset_record import DATASET, read_dataset_record
from pipelines.dataset.records import UnitCounts, UnitManifest, UnitSource
from pipelines.dataset.takedowns import finished_takedowns, hashes_in
from pipelines.dataset.units import committed_units, read_units
from pipelines.fetch import WebAccess
from pipelines.ingest.changes import apply_changes, units_of
from pipelines.ingest.inputs import IngestInputs
from pipelines.ingest.needs import check_videos, needs_of
from pipelines.ingest.progress import Progress, Tally
from pipelines.ingest.table import table_of, with_own_videos
from pipelines.ingest.taken_down import without_taken_down
from pipelines.ingest.timings import timings_of
from pipelines.ingest.unit import IngestConfig, make_unit
from pipelines.sources import SourceRow, SourceTable, VideoArchives


@dataclass(frozen=True)
class IngestReport:
    """What the dataset holds, and what this run did.

    ``made_units`` were made now, ``skipped_units`` were finished before.
    """

    rows: int
    samples: int
    rejected: int
    reasons: dict[str, int]
    digest: str
    seconds: float
    skipped_units: int
    made_units: int


def ingest(
    config: IngestConfig,
    progress: Progress | None = None,
    *,
    replace: bool = False,
    on_warning: Callable[[str], None] = lambda _: None,
) -> IngestReport:
    """Make the dataset, or what is missing of it.

    Rows that were appended to the table are added. Any other change of table or settings needs ``replace``,
    which makes the units that it affects again. ``on_warning`` receives lines about the table before the
    work: how it is read, if that had to be found out, and what its videos need and this machine lacks.

    Raises AnimaticError if the source cannot be read, if the output holds something else, or if a unit fails.
    """
    started = time.monotonic()
    config = with_absolute_paths(config, "source", "videos", "output")
    access = config.fetch.access()
    check_videos(config.videos)
    table = table_of(config)
    config = with_own_videos(config, table)
    folder = Folder(config.output)
    recorded = IngestInputs.recorded(folder)
    if recorded is not None and recorded.are_unchanged(config, table) and folder.exists(DATASET):
        return report_of(folder, started, None)
    inputs = IngestInputs.of(config, table)
    for warning in (*table.notices, *table.findings, *needs_of(table.scan().schemes, config.fetch)):
        on_warning(warning)
    if not inputs.rows:
        raise AnimaticError(f"{config.source} has no rows")
    with exclusive_lock(folder, "ingest"):
        takedowns = finished_takedowns(folder)
        recorded = IngestInputs.recorded(folder)  # another ingest may have ended meanwhile
        if recorded is not None and recorded.changes(inputs):
            apply_changes(folder, recorded, inputs, table, replace)
        inputs.write(folder)
        if folder.exists(DATASET):
            return report_of(folder, started, None)
        taken_down = hashes_in(takedowns)
        archives = VideoArchives.at(config.videos, on_warning)

        def accepted(rows: list[SourceRow]) -> list[SourceRow]:
            rows = without_taken_down(rows, taken_down)
            return rows if archives is None else archives.located(rows)

        skipped = _complete(folder, inputs, config, table, accepted, access, progress)
    return report_of(folder, started, skipped)


def report_of(folder: Folder, started: float, skipped: int | None) -> IngestReport:
    """What a finished dataset holds; ``skipped`` None means all its units."""
    info = read_dataset_record(folder)
    counts, units = info["counts"], len(info["shards"])
    skipped = units if skipped is None else skipped
    return IngestReport(
        rows=counts["rows"],
        samples=counts["samples"],
        rejected=counts["rejected_rows"],
        reasons=counts["reasons"],
        digest=info["digest"],
        seconds=time.monotonic() - started,
        skipped_units=skipped,
        made_units=units - skipped,
    )


def _complete(
    folder: Folder,
    inputs: IngestInputs,
    config: IngestConfig,
    table: SourceTable,
    accepted: Callable[[list[SourceRow]], list[SourceRow]],
    access: WebAccess,
    progress: Progress | None,
) -> int:
    """Make the missing units and commit the dataset; returns how many units were finished before.

    ``accepted`` rejects rows that were taken down, and finds videos in archives.
    """
    # Ray takes seconds to import; who only reads configurations and records does not wait for it.
    from pipelines.cluster.forking import import_for_workers
    from pipelines.cluster.host_gate import with_shared_gate
    from pipelines.cluster.tasks import run_tasks

    assert inputs.rows is not None
    import_for_workers("pipelines.ingest.unit", "webdataset.writer")
    present, sources, skipped = dict(_present_units(folder)), list[UnitSource](), 0
    with timings_of(folder) as timings:
        tally = Tally(inputs.rows, progress, timings)

        def missing() -> Iterator[tuple[int, Callable[[], UnitCounts]]]:
            nonlocal skipped, access
            for unit, rows in units_of(table, config.unit_rows, inputs.units - 1):
                source = inputs.source_of(rows)
                sources.append(source)
                found = present.get(unit)
                # A worker of a stopped job may have committed a unit of that job's inputs meanwhile.
                if found is not None and source_matches(found.source, source):
                    skipped += 1
                    tally.add_present(found.counts)
                else:
                    access = with_shared_gate(access, config.fetch, config.address)
                    yield unit, functools.partial(make_unit, config, unit, accepted(rows), source, access)

        for done in run_tasks(missing(), workers=config.workers, address=config.address):
            tally.add_finished(done.unit, done.seconds, done.result)
    commit_dataset(folder, inputs.config, inputs.units, inputs.rows, sources)
    write_card(folder, config.card)
    return skipped


@dataclass(frozen=True)
class _PresentUnit:
    """A committed unit: what it was made from, and its counts."""

    source: UnitSource
    counts: UnitCounts


def _present_units(folder: Folder) -> Iterator[tuple[int, _PresentUnit]]:
    """Committed units whose tar exists and has the right size; any other is made again."""
    sizes = folder.sizes()
    for manifest in read_units(folder, sorted(committed_units(folder)), UnitManifest):
        shard = manifest["shard"]
        if sizes.get(shard["name"]) == shard["bytes"]:
            yield manifest["unit"], _PresentUnit(manifest.get("source", {}), counts_of(manifest))
