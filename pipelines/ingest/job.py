"""From a table to a finished dataset, or the rest of the way there."""

import itertools
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import AnimaticError
from core.lock import exclusive_lock
from core.storage import Folder
from core.urls import absolute, is_url
from pipelines.dataset.commit import commit_dataset
from pipelines.dataset.units import committed_units, count_outcomes, made_from, read_units
from pipelines.ingest.engine import Progress, Tally, run_units
from pipelines.ingest.plan import Plan, stale_units, withdraw
from pipelines.ingest.timings import timings_of
from pipelines.ingest.unit import IngestConfig, make_unit
from pipelines.sources import SourceRow, SourceTable


@dataclass(frozen=True)
class IngestReport:
    """What the dataset holds, and what this run did: ``skipped_units`` were there already."""

    rows: int
    samples: int
    rejected: int
    reasons: dict[str, int]
    digest: str
    seconds: float
    skipped_units: int


def ingest(config: IngestConfig, progress: Progress | None = None, *, replace: bool = False) -> IngestReport:
    """Make the dataset, or as much of it as is missing.

    Rows that were appended to the table since are added. With any other change of table or settings,
    ``replace`` makes again the units that are touched by it, and without it nothing is done.

    Raises AnimaticError if the source cannot be read, if the output holds something else, or if a unit fails.
    """
    started = time.monotonic()
    config = _absolute(config)
    if config.videos is not None and not is_url(config.videos) and not Path(config.videos).is_dir():
        raise AnimaticError(f"there is no folder of videos at {config.videos}")
    table = SourceTable(config.source, config.columns, config.where)
    folder = Folder(config.output)
    begun = Plan.begun(folder)
    if begun is not None and begun.fits(config, table) and folder.exists("dataset.json"):
        return report_of(folder, started, None)
    plan = Plan.of(config, table)
    if not plan.rows:
        raise AnimaticError(f"{config.source} has no rows")
    with exclusive_lock(folder, "ingest"):
        begun = Plan.begun(folder)  # another ingest may have ended meanwhile
        if begun is not None and begun.changes(plan):
            _change_plan(folder, begun, plan, table, replace)
        plan.write(folder)
        if folder.exists("dataset.json"):
            return report_of(folder, started, None)
        done = _complete(folder, plan, config, table, progress)
    return report_of(folder, started, done)


def report_of(folder: Folder, started: float, skipped: int | None) -> IngestReport:
    """What a finished dataset holds; ``skipped`` None: all its units were there."""
    info = json.loads(folder.read("dataset.json"))
    counts = info["counts"]
    return IngestReport(
        rows=counts["rows"],
        samples=counts["samples"],
        rejected=counts["rejected_rows"],
        reasons=counts["reasons"],
        digest=info["digest"],
        seconds=time.monotonic() - started,
        skipped_units=len(info["shards"]) if skipped is None else skipped,
    )


def _complete(
    folder: Folder, plan: Plan, config: IngestConfig, table: SourceTable, progress: Progress | None
) -> int:
    """Make the missing units and commit the dataset; returns how many units were there."""
    assert plan.rows is not None
    there, sources, missing = dict(_intact_units(folder)), list[dict[str, Any]](), 0
    with timings_of(folder) as timings:
        tally = Tally(plan.rows, progress, timings)

        def tasks() -> Iterator[tuple[int, tuple[Any, ...]]]:
            nonlocal missing
            for unit, rows in units_of(table, config.unit_rows, plan.units - 1):
                source = plan.source_of(rows)
                sources.append(source)
                made = there.get(unit)
                # A worker of a stopped job may have left one of that job's after those were taken away.
                if made is not None and made_from(made.source, source):
                    tally.found(made.counts)
                else:
                    missing += 1
                    yield unit, (config, unit, rows, source)

        run_units(make_unit, tasks(), tally, workers=config.workers, address=config.address)
    commit_dataset(folder, plan.config, plan.units, plan.rows, sources)
    return plan.units - missing


def _absolute(config: IngestConfig) -> IngestConfig:
    """Local paths made absolute: Ray workers have their own working directory."""
    urls = {name: getattr(config, name) for name in ("source", "videos", "output")}
    return config.model_copy(update={name: absolute(url) for name, url in urls.items() if url is not None})


def _change_plan(folder: Folder, begun: Plan, plan: Plan, table: SourceTable, replace: bool) -> None:
    """Take away what is no longer true; refuse to if more than the table's end changed, unless told to."""
    committed = committed_units(folder)
    changed, continued = committed, set[int]()
    if begun.only_rows_differ(plan):
        units = units_of(table, plan.config["unit_rows"], max(committed, default=-1))
        changed, continued = stale_units(folder, units)
    if changed and not replace:
        raise AnimaticError(
            f"{folder} was ingested otherwise: {'; '.join(begun.changes(plan))}; {len(changed)} of its "
            f"{len(committed)} units would be made again: choose a new output folder, undo that, "
            "or say --replace"
        )
    withdraw(folder, changed | continued, keep_shards=plan.units)


@dataclass(frozen=True)
class _Made:
    """A unit that is there: what it was made from, and its counts."""

    source: dict[str, Any]
    counts: dict[str, Any]


def _intact_units(folder: Folder) -> Iterator[tuple[int, _Made]]:
    """Committed units whose tar is there and of the right size; any other is made again."""
    sizes = folder.sizes()
    for manifest in read_units(folder, sorted(committed_units(folder))):
        shard = manifest["shard"]
        if sizes.get(shard["name"]) == shard["bytes"]:
            counts = {**count_outcomes(manifest["rows"]), "bytes": shard["bytes"]}
            yield manifest["unit"], _Made(manifest.get("source", {}), counts)


def units_of(table: SourceTable, size: int, last: int) -> Iterator[tuple[int, list[SourceRow]]]:
    """The table's units up to number ``last``, with their rows."""
    rows = table.rows()
    for unit in range(last + 1):
        batch = list(itertools.islice(rows, size))
        if not batch:
            return
        yield unit, batch
