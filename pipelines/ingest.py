"""The job: a table of videos and captions → a dataset of WebDataset shards, on Ray.

A unit of work is a run of ``unit_rows`` source rows; it becomes one tar and one manifest, committed by
whichever worker made them. Nothing but paths and counts passes through Ray. Running again makes only the
units that are missing.
"""

import contextlib
import fcntl
import itertools
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray

from models.errors import AnimaticError
from pipelines.cluster import ensure_ray
from pipelines.shards import (
    FORMAT,
    canonical_json,
    commit_dataset,
    committed_units,
    count_outcomes,
    read_unit,
)
from pipelines.sources import SCHEME, SourceRow, SourceTable
from pipelines.storage import Folder
from pipelines.unit import IngestConfig, make_unit

# Where and how the work is done, which must not matter to the bytes that come out.
CIRCUMSTANCES = {"source", "videos", "output", "workers", "address", "deadline_s", "fetch"}


@dataclass(frozen=True)
class IngestProgress:
    """How far the job is; ``seconds_left`` is None until one unit is done."""

    rows: int
    total_rows: int
    samples: int
    rejected: int
    seconds_left: float | None


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


Progress = Callable[[IngestProgress], None]


def ingest(config: IngestConfig, progress: Progress | None = None) -> IngestReport:
    """Make the dataset, or as much of it as is missing.

    Raises AnimaticError if the source cannot be read, if the output holds something else, or if a unit fails.
    """
    started = time.monotonic()
    config = _absolute(config)
    if config.videos is not None and not SCHEME.match(config.videos) and not Path(config.videos).is_dir():
        raise AnimaticError(f"there is no folder of videos at {config.videos}")
    table = SourceTable(config.source)
    folder = Folder(config.output)
    plan = _plan(config, table)
    _compare(folder, plan)
    if folder.exists("dataset.json"):
        return _report(json.loads(folder.read("dataset.json")), time.monotonic() - started, None)
    rows = table.count()
    if not rows:
        raise AnimaticError(f"{config.source} has no rows")
    with _claimed(folder):
        folder.write("ingest.json", canonical_json(plan))
        done = _intact_units(folder)
        tally = _Tally(rows, progress)
        for unit in sorted(done):
            tally.add(read_unit(folder, unit)["rows"], made=False)
        _run_units(config, table, done, tally)
        info = commit_dataset(folder, plan["config"], -(-rows // config.unit_rows), rows)
    return _report(info, time.monotonic() - started, len(done))


def _absolute(config: IngestConfig) -> IngestConfig:
    """Local paths made absolute: Ray workers have their own working directory."""
    local = {name: getattr(config, name) for name in ("source", "videos", "output")}
    made = {
        name: str(Path(value).expanduser().absolute())
        for name, value in local.items()
        if value is not None and not SCHEME.match(value)
    }
    return config.model_copy(update=made)


def _plan(config: IngestConfig, table: SourceTable) -> dict[str, Any]:
    """What decides the dataset's bytes, and the folder of videos as seen from the output."""
    settings = config.model_dump(mode="json", exclude=CIRCUMSTANCES)
    videos = config.videos
    if videos is not None and not SCHEME.match(videos) and not SCHEME.match(config.output):
        videos = os.path.relpath(videos, config.output)
    return {"config": {"format": FORMAT, "source_sha256": table.digest, **settings}, "videos": videos}


def _compare(folder: Folder, plan: dict[str, Any]) -> None:
    """Refuse an output that was begun from something else."""
    try:
        begun = json.loads(folder.read("ingest.json"))
    except FileNotFoundError:
        foreign = [name for name in folder.names() if not name.startswith(".")]
        if foreign:
            raise AnimaticError(
                f"{folder} is not empty and holds no ingest (found {foreign[0]}); choose a new output folder"
            ) from None
        return
    except ValueError as error:
        raise AnimaticError(f"{folder}/ingest.json is damaged; choose a new output folder") from error
    old, new = ({**p.get("config", {}), "videos": p.get("videos")} for p in (begun, plan))
    changes = [
        "the source table changed"
        if name == "source_sha256"
        else f"{name} was {old.get(name)}, is {new.get(name)}"
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    ]
    if changes:
        raise AnimaticError(
            f"{folder} was ingested otherwise: {'; '.join(changes)}; choose a new output folder or undo that"
        )


@contextlib.contextmanager
def _claimed(folder: Folder) -> Iterator[None]:
    """Keep a second ingest on this machine out of the folder; the claim ends with the process."""
    path = folder.local_path
    if path is None:
        yield
        return
    path.mkdir(parents=True, exist_ok=True)
    with (path / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise AnimaticError(f"another ingest is writing to {folder}; wait for it or stop it") from error
        folder.remove_leftovers()
        yield
        folder.remove_leftovers()


def _intact_units(folder: Folder) -> set[int]:
    """Committed units whose tar is there and of the right size; any other is made again."""
    shards = {unit: read_unit(folder, unit)["shard"] for unit in committed_units(folder)}
    return {unit for unit, shard in shards.items() if folder.size(shard["name"]) == shard["bytes"]}


class _Tally:
    """Counts for the progress display."""

    def __init__(self, total: int, progress: Progress | None) -> None:
        self._total, self._progress = total, progress
        self._started = time.monotonic()
        self._rows = self._made = self._samples = self._rejected = 0

    def add(self, outcomes: list[dict[str, Any]], made: bool = True) -> None:
        """Take the outcomes of a unit that was made now or found."""
        counts = count_outcomes(outcomes)
        self._rows += counts["rows"]
        self._made += counts["rows"] if made else 0
        self._samples += counts["samples"]
        self._rejected += counts["rejected_rows"]
        if self._progress is not None:
            pace = (time.monotonic() - self._started) / self._made if self._made else None
            left = None if pace is None else pace * (self._total - self._rows)
            self._progress(IngestProgress(self._rows, self._total, self._samples, self._rejected, left))


def _units(table: SourceTable, size: int) -> Iterator[tuple[int, list[SourceRow]]]:
    rows = table.rows()
    for unit in itertools.count():
        batch = list(itertools.islice(rows, size))
        if not batch:
            return
        yield unit, batch


def _run_units(config: IngestConfig, table: SourceTable, done: set[int], tally: _Tally) -> None:
    """Make the missing units, never more than ``workers`` at once."""
    missing = ((unit, rows) for unit, rows in _units(table, config.unit_rows) if unit not in done)
    first = next(missing, None)
    if first is None:
        return
    ensure_ray(config.address)
    workers = config.workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
    task = ray.remote(num_cpus=1, max_retries=2)(make_unit)
    running: dict[Any, int] = {}
    try:
        for unit, rows in itertools.chain([first], missing):
            running[task.remote(config, unit, rows)] = unit
            if len(running) >= workers:
                _collect(running, tally)
        while running:
            _collect(running, tally)
    finally:
        for reference in running:
            ray.cancel(reference, force=True)


def _collect(running: dict[Any, int], tally: _Tally) -> None:
    finished, _ = ray.wait(list(running), num_returns=1)
    unit = running.pop(finished[0])
    try:
        tally.add(ray.get(finished[0]))
    except ray.exceptions.RayError as error:
        cause = getattr(error, "cause", None) or error
        raise AnimaticError(
            f"unit {unit} failed ({type(cause).__name__}: {str(cause).strip().splitlines()[-1][:300]}); "
            "what is done is kept: mend that and run ingest again"
        ) from error


def _report(info: dict[str, Any], seconds: float, skipped: int | None) -> IngestReport:
    counts = info["counts"]
    return IngestReport(
        rows=counts["rows"],
        samples=counts["samples"],
        rejected=counts["rejected_rows"],
        reasons=counts["reasons"],
        digest=info["digest"],
        seconds=seconds,
        skipped_units=len(info["shards"]) if skipped is None else skipped,
    )
