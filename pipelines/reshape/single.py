"""One dataset becomes parts, a part of it, or the same in other shards."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from pydantic import JsonValue

from core.errors import AnimaticError
from core.storage import Folder
from core.urls import absolute
from pipelines.dataset import Dataset
from pipelines.dataset.dataset_record import read_dataset_record
from pipelines.dataset.made_from import Operation
from pipelines.reshape.conditions import Conditions
from pipelines.reshape.draws import draws
from pipelines.reshape.job import open_clips, run
from pipelines.reshape.parts import Part, assign, check_parts
from pipelines.reshape.plan import UNIT_ROWS, Keep, ShardSize, Source
from pipelines.reshape.work import IN_PROCESS, Execution, ReshapeReport, Work

BY = ("source_id", "key")
_NOT_SELECTED = {"split": "in_another_part", "subset": "not_selected", "reshard": ""}


def split(
    dataset: str,
    parts: Sequence[Part],
    *,
    output: str | None = None,
    by: str = "source_id",
    seed: int = 0,
    execution: Execution = IN_PROCESS,
) -> list[ReshapeReport]:
    """Make a dataset of each part, OUTPUT/NAME, or beside the dataset DATASET-NAME; each sample is in one.

    Args:
        by: ``source_id`` keeps all clips of a video together, ``key`` draws every sample by itself.
        seed: of the draws.

    Raises AnimaticError if the shares do not add up, or as :func:`merge`.
    """
    if by not in BY:
        raise AnimaticError(f"a split is by {' or '.join(BY)}, not by {by!r:.80}")
    opened = open_clips(dataset)
    check_parts(parts, len(opened))
    assigned = assign(parts, draws(opened.samples[by], seed))
    empty = [part.name for number, part in enumerate(parts) if not (assigned == number).any()]
    if empty:
        raise AnimaticError(
            f"part {empty[0]} would have no sample of {opened.folder}: give it a larger share"
        )
    base: dict[str, JsonValue] = {"by": by, "seed": seed, "parts": [str(part) for part in parts]}
    reports, beside = [], absolute(dataset).rstrip("/")
    for number, part in enumerate(parts):
        url = f"{beside}-{part.name}" if output is None else f"{absolute(output)}/{part.name}"
        parameters: dict[str, JsonValue] = {**base, "part": part.name}
        reports.append(_run("split", parameters, opened, partial(np.equal, assigned, number), url, execution))
    _require_complete(opened, reports)
    return reports


def _require_complete(dataset: Dataset, reports: Sequence[ReshapeReport]) -> None:
    found = sum(map(_received, reports))
    if found != len(dataset):
        raise AnimaticError(
            f"the parts have {found} of the {len(dataset)} samples of {dataset.folder}: one was changed "
            "meanwhile; split again into new folders"
        )


def _received(report: ReshapeReport) -> int:
    """The samples of a part, with those that were taken down: before it was finished, and in it since."""
    history = read_dataset_record(Folder(report.dataset)).get("history", [])
    since = sum(takedown["samples"] for takedown in history if takedown["shards"])
    return report.samples + report.left_out.get("taken_down", 0) + since


def subset(
    dataset: str,
    output: str,
    conditions: Conditions,
    *,
    execution: Execution = IN_PROCESS,
) -> ReshapeReport:
    """Make a dataset of the samples that satisfy conditions.

    Raises AnimaticError if none does, or a condition does not fit the dataset, or as :func:`merge`.
    """
    opened = open_clips(dataset)
    parameters = conditions.record(opened)
    if not parameters:
        raise AnimaticError("name the samples of the subset: --where, --keys, --min, --max or --count")
    return _run(
        "subset",
        parameters,
        opened,
        lambda: conditions.kept(opened),
        absolute(output),
        execution,
    )


def reshard(
    dataset: str,
    output: str,
    execution: Execution,
) -> ReshapeReport:
    """Make the same dataset with shards of another size.

    Raises AnimaticError if no size is given, or as :func:`merge`.
    """
    if execution.size.follows_sources:
        raise AnimaticError("name the size of the shards: --shard-rows or --shard-mb")
    opened = open_clips(dataset)
    everything = np.ones(len(opened), np.bool_)
    return _run("reshard", {}, opened, lambda: everything, absolute(output), execution)


def _run(
    operation: Operation,
    parameters: dict[str, JsonValue],
    dataset: Dataset,
    keep: Callable[[], Keep],
    output: str,
    execution: Execution,
) -> ReshapeReport:
    size = execution.size
    if size.follows_sources:  # units would be small where few samples of each are taken
        recorded = dataset.info["config"].get("unit_rows")
        size = ShardSize(recorded if isinstance(recorded, int) and recorded > 0 else UNIT_ROWS)
    work = Work(
        operation=operation,
        parameters={**parameters, **size.record()},
        datasets=[dataset],
        select=lambda: [Source(dataset, keep(), _NOT_SELECTED[operation])],
        size=size,
        has_rejected=operation == "reshard",
        output=output,
    )
    return run(work, execution)
