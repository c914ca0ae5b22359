"""From planned samples of other datasets to a finished dataset, or from an unfinished one."""

import functools
import time
from collections.abc import Callable, Iterator, Sequence
from typing import cast

from pydantic import JsonValue

from core.canonical_json import canonical_json, digest_of
from core.errors import AnimaticError
from core.lock import exclusive_lock
from core.storage import Folder
from core.urls import absolute
from pipelines.card import Origin, read_card, write_card
from pipelines.dataset import Dataset
from pipelines.dataset.clip_units import shard_name, source_matches, stored_shards
from pipelines.dataset.commit import commit_dataset
from pipelines.dataset.dataset_record import DATASET, read_dataset_record
from pipelines.dataset.made_from import (
    MADE_FROM,
    MADE_FROM_FILE,
    MadeFrom,
    MadeFromFile,
    own_settings,
    shared_settings,
)
from pipelines.dataset.record_files import read_job_record
from pipelines.dataset.records import Settings, Takedown, UnitCounts, UnitManifest, UnitSource
from pipelines.dataset.takedowns import (
    TAKEDOWNS_FORMAT,
    finished_takedowns,
    hashes_in,
    write_takedowns,
)
from pipelines.dataset.unit_facts import facts_name
from pipelines.dataset.units import committed_units, read_units, unit_name
from pipelines.reshape.carried import carry_columns, columns_to_carry, lacks
from pipelines.reshape.plan import Planner, Source, UnitPlan
from pipelines.reshape.rows import Rules
from pipelines.reshape.unit import Copying, copy_unit
from pipelines.reshape.work import Execution, Progress, ReshapeReport, Work

_OF_A_TABLE = "source_sha256"  # of the one table that a source was ingested from


def open_clips(url: str) -> Dataset:
    """A finished dataset of clips, to be copied from.

    Raises AnimaticError if there is none, or it is an index of images, or a takedown of it did not finish.
    """
    dataset = Dataset.open(absolute(url))
    if dataset.info["config"].get("kind") == "images":
        raise AnimaticError(
            f"{dataset.folder} is an index of image tars, which are not copied: put the tars into folders as "
            "wanted, and run animatic index-images on each"
        )
    finished_takedowns(dataset.folder)
    return dataset


def run(work: Work, execution: Execution) -> ReshapeReport:
    """Make the dataset, or what is missing of it; nothing if it is finished.

    Raises AnimaticError if the output holds something else, or a source cannot be read or is changed.
    """
    started, folder = time.monotonic(), Folder(work.output)
    names, notices = columns_to_carry(work.datasets, same_samples=work.operation == "reshard")
    with exclusive_lock(folder, f"dataset {work.operation}"):
        _begin(folder, work)
        made = skipped = 0
        if not folder.exists(DATASET):
            made, skipped = _make(folder, work, execution)
        result = Dataset.open(work.output)
        if lacks(result, names):
            sources, planner = _planned(folder, work)
            for _ in planner.units():
                pass  # the planner finds the samples of videos that were taken down
            carry_columns(names, sources, result)
        card = read_card(folder)
        if card is None or card["digest"] != result.digest:
            write_card(folder, origins=[_origin(dataset) for dataset in work.datasets])
    info = result.info
    origin = cast(MadeFrom, info["config"][MADE_FROM])
    return ReshapeReport(
        dataset=work.output,
        digest=info["digest"],
        rows=info["counts"]["rows"],
        samples=info["counts"]["samples"],
        left_out=origin["left_out"]["samples"],
        notices=tuple(notices),
        seconds=time.monotonic() - started,
        skipped_units=skipped or len(info["shards"]) - made,
        made_units=made,
    )


def _begin(folder: Folder, work: Work) -> None:
    """Record the work, unless it is recorded; and the takedowns of the sources, which hold in the result."""
    recorded = read_job_record(folder, MADE_FROM_FILE, MadeFromFile, "dataset made of others")
    if recorded is not None and _identity(recorded) != _identity(work.record):
        raise AnimaticError(
            f"{folder} was made otherwise: by another operation, other parameters, or from other states of "
            "the datasets; choose a new output folder, or delete this one"
        )
    takedowns = finished_takedowns(folder)
    if recorded is None:
        folder.write(MADE_FROM_FILE, canonical_json(work.record))
    if folder.exists(DATASET):
        return
    known = len(takedowns)
    for dataset in work.datasets:
        for takedown in finished_takedowns(dataset.folder):
            of_source: Takedown = {**takedown, "shards": []}  # its tars are no tars of the result
            if of_source not in takedowns:
                takedowns.append(of_source)
    if len(takedowns) > known:
        write_takedowns(folder, {"format": TAKEDOWNS_FORMAT, "takedowns": takedowns})


def _origin(dataset: Dataset) -> Origin:
    card = read_card(dataset.folder)
    return {"digest": dataset.digest, "samples": len(dataset), "stated": card["stated"] if card else {}}


def _identity(record: MadeFromFile) -> list[object]:
    digests = [source["digest"] for source in record["sources"]]
    return [record["operation"], record["parameters"], digests]


def _planned(folder: Folder, work: Work) -> tuple[Sequence[Source], Planner]:
    sources = work.select()
    rules = Rules(work.has_rejected, hashes_in(finished_takedowns(folder)))
    return sources, Planner(sources, rules, work.size)


def _make(folder: Folder, work: Work, execution: Execution) -> tuple[int, int]:
    """Make the missing units and commit the dataset; returns how many were made, and finished before."""
    sources, planner = _planned(folder, work)
    rules = Rules(work.has_rejected, hashes_in(finished_takedowns(folder)))
    copying = Copying(tuple(each.dataset.url for each in sources), work.output, rules)
    total = sum(int(source.keep.sum()) for source in sources)
    settings, present = digest_of([work.operation, work.parameters]), _present_units(folder)
    unit_sources, counted = list[UnitSource](), _Counted(total, execution.progress)

    def missing() -> Iterator[tuple[int, Callable[[], UnitCounts]]]:
        for plan in planner.units():
            source = plan.source(settings)
            unit_sources.append(source)
            if source_matches(present.get(plan.number, {}), source) and plan.number in present:
                counted.skip(plan)
            else:
                yield plan.number, functools.partial(copy_unit, copying, plan, source)

    for counts in _done(missing(), execution):
        counted.add(counts)
    if not planner.rows:
        raise AnimaticError(
            f"no row of {', '.join(str(each.folder) for each in work.datasets)} is left for {folder}: "
            "choose other conditions"
        )
    for unit in sorted(stored_shards(folder) | committed_units(folder)):
        if unit >= len(unit_sources):
            folder.remove(unit_name(unit))
            folder.remove(shard_name(unit))
            folder.remove(facts_name(unit))
    _require_unchanged(work.datasets)
    commit_dataset(folder, _config(work, planner), len(unit_sources), planner.rows, unit_sources)
    return counted.made, counted.skipped


def _done(
    tasks: Iterator[tuple[int, Callable[[], UnitCounts]]], execution: Execution
) -> Iterator[UnitCounts]:
    if execution.workers == 0:
        for _, work in tasks:
            yield work()
        return
    # Ray takes seconds to import; who copies in this process does not wait for it.
    from pipelines.cluster.tasks import run_tasks

    for done in run_tasks(tasks, workers=execution.workers, address=execution.address):
        yield done.result


def _present_units(folder: Folder) -> dict[int, UnitSource]:
    """What the committed units were made from whose tar exists and has the right size."""
    sizes = folder.sizes()
    return {
        manifest["unit"]: manifest.get("source", {})
        for manifest in read_units(folder, sorted(committed_units(folder)), UnitManifest)
        if sizes.get(manifest["shard"]["name"]) == manifest["shard"]["bytes"]
    }


def _config(work: Work, planner: Planner) -> Settings:
    configs = [dict(dataset.info["config"]) for dataset in work.datasets]
    shared = shared_settings(configs)
    shared.pop(MADE_FROM, None)
    shared.pop(_OF_A_TABLE, None)
    origin: MadeFrom = {
        "operation": work.operation,
        "parameters": work.parameters,
        "sources": [
            {
                "digest": dataset.digest,
                "rows": dataset.info["counts"]["rows"],
                "samples": dataset.info["counts"]["samples"],
                "settings": own_settings(config, shared),
            }
            for dataset, config in zip(work.datasets, configs, strict=True)
        ],
        "left_out": planner.left_out,
    }
    return {**shared, MADE_FROM: cast(JsonValue, origin)}


def _require_unchanged(datasets: Sequence[Dataset]) -> None:
    """A takedown that began meanwhile must not be evaded by the copy."""
    for dataset in datasets:
        finished_takedowns(dataset.folder)
        if read_dataset_record(dataset.folder)["digest"] != dataset.digest:
            raise AnimaticError(
                f"{dataset.folder} was changed while it was copied: run this again into a new folder"
            )


class _Counted:
    """Samples and units that are done."""

    def __init__(self, total: int, progress: Progress) -> None:
        self._total, self._progress, self._samples = total, progress, 0
        self.made = self.skipped = 0
        progress(0, total)

    def skip(self, plan: UnitPlan) -> None:
        """A unit that was finished before."""
        self.skipped += 1
        self._advance(plan.samples)

    def add(self, counts: UnitCounts) -> None:
        """A unit that was made now."""
        self.made += 1
        self._advance(counts["samples"])

    def _advance(self, samples: int) -> None:
        self._samples += samples
        self._progress(self._samples, self._total)
