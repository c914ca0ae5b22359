"""Another try for rows that were rejected for reasons that may have passed."""

import functools
import time
from collections.abc import Callable, Collection, Mapping

from core.config.validation import check_values, validate
from core.errors import AnimaticError
from core.lock import exclusive_lock
from core.storage import Folder
from core.urls import resolve
from pipelines.card import write_card
from pipelines.dataset.clip_units import counts_of
from pipelines.dataset.commit import commit_dataset
from pipelines.dataset.dataset_record import DATASET
from pipelines.dataset.made_from import source_locations
from pipelines.dataset.records import UnitCounts, UnitManifest, UnitSource
from pipelines.dataset.takedowns import TAKEN_DOWN, finished_takedowns
from pipelines.dataset.units import committed_units, read_unit, read_units, unit_name
from pipelines.ingest.inputs import INGEST, NON_IDENTITY_FIELDS, IngestInputs
from pipelines.ingest.job import IngestReport, report_of
from pipelines.ingest.progress import Progress, Tally
from pipelines.ingest.timings import timings_of
from pipelines.ingest.unit import IngestConfig, rejected_rows, retry_unit
from pipelines.sources import TABLE_REASONS, VideoArchives


def retry(
    dataset: str, reasons: Collection[str], progress: Progress | None = None, /, **overrides: object
) -> IngestReport:
    """Try the rejected rows of the classes ``reasons`` again; the samples of other rows are kept as they are.

    ``overrides`` are settings that do not decide the dataset's bytes: workers, address, deadline_s, fetch,
    videos …. The dataset gets a new digest if new samples are found. Stopped midway, it is unfinished, and
    ``ingest`` completes it.

    Raises AnimaticError if the dataset or rows of such a class do not exist, or if a unit fails.
    """
    started = time.monotonic()
    folder = Folder(dataset)
    inputs, rows = _recorded(folder)
    config = _config(folder, inputs, overrides)
    access = config.fetch.access()
    # Ray takes seconds to import: errors come first.
    from pipelines.cluster.host_gate import with_shared_gate
    from pipelines.cluster.tasks import run_tasks

    with exclusive_lock(folder, "ingest"):
        finished_takedowns(folder)
        if committed_units(folder) != set(range(inputs.units)):
            raise AnimaticError(f"the ingest of {folder} did not finish; run animatic ingest again first")
        with timings_of(folder) as timings:
            units, sources, present = _units(folder, inputs, set(reasons))
            tally = Tally(rows, progress, timings)
            for counts in present:
                tally.add_present(counts)
            folder.remove(DATASET)
            access = with_shared_gate(access, config.fetch, config.address)
            archives = VideoArchives.at(config.videos)

            def task_of(unit: int) -> Callable[[], UnitCounts]:
                locations = _locations(folder, config, unit, reasons, archives)
                return functools.partial(retry_unit, config, unit, sorted(reasons), access, locations)

            tasks = ((unit, task_of(unit)) for unit in units)
            for done in run_tasks(tasks, workers=config.workers, address=config.address):
                tally.add_finished(done.unit, done.seconds, done.result)
        commit_dataset(folder, inputs.config, inputs.units, rows, sources)
        write_card(folder, config.card)
    return report_of(folder, started, inputs.units - len(units))


def _recorded(folder: Folder) -> tuple[IngestInputs, int]:
    """What a dataset was ingested from, and its number of rows. Raises AnimaticError."""
    inputs = IngestInputs.recorded(folder) if folder.exists(INGEST) else None
    if inputs is None and source_locations(folder):
        first = source_locations(folder)[0]["url"]
        raise AnimaticError(
            f"{folder} was made from other datasets: retry the rows in these ({first}, …), then run the same "
            "animatic dataset command into a new folder"
        )
    if inputs is None:
        raise AnimaticError(f"no dataset at {folder} that was ingested; create one with animatic ingest")
    if inputs.rows is None:
        raise AnimaticError(
            f"{folder} was ingested by an earlier version; run animatic ingest on it once more first"
        )
    return inputs, inputs.rows


def _config(folder: Folder, inputs: IngestInputs, overrides: Mapping[str, object]) -> IngestConfig:
    """The configuration that the dataset was made with, with overrides."""
    fixed = overrides.keys() - (NON_IDENTITY_FIELDS - {"source", "layout", "output"})
    if fixed:
        raise AnimaticError(f"{min(fixed)} decides a dataset's bytes and cannot change for a retry")
    settings = {name: inputs.config[name] for name in IngestConfig.model_fields.keys() & inputs.config.keys()}
    output = str(folder.local_path.absolute()) if folder.local_path else folder.url
    videos = None if inputs.videos is None else resolve(inputs.videos, output)
    urls = {"source": resolve(inputs.source, output), "videos": videos, "output": output}
    return check_values(validate(IngestConfig, {**settings, **urls, **overrides}))


def _locations(
    folder: Folder,
    config: IngestConfig,
    unit: int,
    reasons: Collection[str],
    archives: VideoArchives | None,
) -> dict[int, str]:
    """By number, where in archives the videos of rejected rows of a unit are."""
    if archives is None:
        return {}
    rows = rejected_rows(config, read_unit(folder, unit, UnitManifest), reasons)
    return {row.row: row.location for row in archives.located(rows) if row.location is not None}


def _units(
    folder: Folder, inputs: IngestInputs, reasons: set[str]
) -> tuple[list[int], list[UnitSource], list[UnitCounts]]:
    """Units with rejected rows of these classes, the source of every unit, and the counts of the others."""
    if TAKEN_DOWN in reasons:
        raise AnimaticError(f"rows that were taken down stay so: leave out --class {TAKEN_DOWN}")

    if reasons & TABLE_REASONS:
        raise AnimaticError(
            f"{min(reasons & TABLE_REASONS)} is a fault of the table: fix the table and ingest it again"
        )
    units, sources, others, present = list[int](), list[UnitSource](), list[UnitCounts](), set[str]()
    for unit, manifest in enumerate(read_units(folder, range(inputs.units), UnitManifest)):
        sources.append(manifest.get("source", {}))
        if sources[-1].get("settings", inputs.unit_settings) != inputs.unit_settings:
            raise AnimaticError(
                f"{folder}/{unit_name(unit)} has other settings than {INGEST}: delete it and "
                f"{DATASET}, and run animatic ingest again"
            )
        counts = counts_of(manifest)
        present |= counts["reasons"].keys()
        if counts["reasons"].keys() & reasons:
            units.append(unit)
        else:
            others.append(counts)
    absent = reasons - present
    if absent:
        found = f"; it has {', '.join(sorted(present))}" if present else ""
        raise AnimaticError(f"{folder} has no row rejected for {', '.join(sorted(absent))}{found}")
    return units, sources, others
