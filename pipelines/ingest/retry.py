"""Another try for rows that were rejected for reasons that may have passed."""

import time
from collections.abc import Collection
from typing import Any

from core.config.validation import validate
from core.errors import AnimaticError
from core.lock import exclusive_lock
from core.storage import Folder
from core.urls import resolve
from pipelines.dataset.commit import commit_dataset
from pipelines.dataset.units import committed_units, count_outcomes, read_units, unit_name
from pipelines.ingest.engine import Progress, Tally, run_units
from pipelines.ingest.job import IngestReport, report_of
from pipelines.ingest.plan import NON_IDENTITY_FIELDS, Plan
from pipelines.ingest.timings import timings_of
from pipelines.ingest.unit import IngestConfig, remake_unit
from pipelines.sources import TABLE_REASONS


def retry(
    dataset: str, reasons: Collection[str], progress: Progress | None = None, /, **circumstances: Any
) -> IngestReport:
    """Try the rejected rows of the classes ``reasons`` again; the samples of other rows are kept as they are.

    ``circumstances`` are the settings that do not decide the dataset's bytes: workers, address, deadline_s,
    fetch, videos …. The dataset gets a new digest if samples come of it. Stopped midway, it is unfinished:
    running ``ingest`` again completes it.

    Raises AnimaticError if there is no such dataset or class, or if a unit fails.
    """
    started = time.monotonic()
    folder = Folder(dataset)
    plan = Plan.begun(folder) if folder.exists("ingest.json") else None
    if plan is None:
        raise AnimaticError(f"no dataset at {folder} that ingest made; make one with animatic ingest")
    if plan.rows is None:
        raise AnimaticError(
            f"{folder} was made by an earlier version; run animatic ingest on it once more first"
        )
    config = _config(folder, plan, circumstances)
    with exclusive_lock(folder, "ingest"):
        if committed_units(folder) != set(range(plan.units)):
            raise AnimaticError(f"the ingest of {folder} did not finish; run animatic ingest again first")
        with timings_of(folder) as timings:
            tally = Tally(plan.rows, progress, timings)
            units, sources = _units(folder, plan, set(reasons), tally)
            folder.remove("dataset.json")
            tasks = ((unit, (config, unit, sorted(reasons))) for unit in units)
            run_units(remake_unit, tasks, tally, workers=config.workers, address=config.address)
        commit_dataset(folder, plan.config, plan.units, plan.rows, sources)
    return report_of(folder, started, plan.units - len(units))


def _config(folder: Folder, plan: Plan, circumstances: dict[str, Any]) -> IngestConfig:
    """The configuration that the dataset was made with, under new circumstances."""
    foreign = circumstances.keys() - (NON_IDENTITY_FIELDS - {"source", "output"})
    if foreign:
        raise AnimaticError(f"{min(foreign)} decides a dataset's bytes and cannot change for a retry")
    settings = {name: plan.config[name] for name in IngestConfig.model_fields.keys() & plan.config.keys()}
    output = str(folder.local_path.absolute()) if folder.local_path else folder.url
    videos = None if plan.videos is None else resolve(plan.videos, output)
    urls = {"source": resolve(plan.source, output), "videos": videos, "output": output}
    return validate(IngestConfig, {**settings, **urls, **circumstances})


def _units(
    folder: Folder, plan: Plan, reasons: set[str], tally: Tally
) -> tuple[list[int], list[dict[str, Any]]]:
    """Units with rejected rows of these classes, the others being counted as done; and what each unit of
    all was made from."""
    if reasons & TABLE_REASONS:
        raise AnimaticError(
            f"{min(reasons & TABLE_REASONS)} is a fault of the table: mend the table and ingest it again"
        )
    units, sources, present = [], [], set[str]()
    for unit, manifest in enumerate(read_units(folder, range(plan.units))):
        sources.append(manifest.get("source", {}))
        if sources[-1].get("settings", plan.settings) != plan.settings:
            raise AnimaticError(
                f"{folder}/{unit_name(unit)} is of other settings than ingest.json: delete it and "
                "dataset.json, and run animatic ingest again"
            )
        counts = count_outcomes(manifest["rows"])
        present |= counts["reasons"].keys()
        if counts["reasons"].keys() & reasons:
            units.append(unit)
        else:
            tally.found({**counts, "bytes": manifest["shard"]["bytes"]})
    if not units:
        there = f"; it has {', '.join(sorted(present))}" if present else ""
        raise AnimaticError(f"{folder} has no row rejected for {', '.join(sorted(reasons))}{there}")
    return units, sources
