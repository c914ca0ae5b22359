"""Several datasets become one."""

from collections.abc import Sequence

import numpy as np
from pydantic import JsonValue

from core.errors import AnimaticError
from core.urls import absolute
from pipelines.dataset import Dataset
from pipelines.reshape.collisions import Collision, collisions
from pipelines.reshape.job import open_clips, run
from pipelines.reshape.plan import Source
from pipelines.reshape.work import IN_PROCESS, Execution, ReshapeReport, Work

IDENTICAL = "identical"  # the reason by which samples that an earlier dataset has are left out


def merge(
    output: str,
    datasets: Sequence[str],
    *,
    rename: str | None = None,
    execution: Execution = IN_PROCESS,
) -> ReshapeReport:
    """Make one dataset of all samples and rows of several, in the order given.

    A sample that several have is kept once. A video that was taken down in one is left out of all.

    Args:
        rename: the beginning of new keys for samples that have the key of another sample of an earlier
            dataset: RENAME, the number of the dataset from 2 on, a hyphen, and the old key.

    Raises AnimaticError if a dataset cannot be read, if different samples have one key and ``rename`` is not
    given, or if the output holds something else.
    """
    if len(datasets) < 2:
        raise AnimaticError("name at least two datasets to merge")
    if rename is not None and not (rename.isascii() and rename.replace("-", "").replace("_", "").isalnum()):
        raise AnimaticError(f"--rename {rename!r:.80}: use ASCII letters, digits, hyphens and underscores")
    opened = [open_clips(url) for url in datasets]
    parameters: dict[str, JsonValue] = execution.size.record()
    if rename is not None:
        parameters["rename"] = rename
    work = Work(
        operation="merge",
        parameters=parameters,
        datasets=opened,
        select=lambda: _sources(opened, rename),
        size=execution.size,
        has_rejected=True,
        output=absolute(output),
    )
    return run(work, execution)


def _sources(datasets: Sequence[Dataset], rename: str | None) -> list[Source]:
    keep = [np.ones(len(dataset), np.bool_) for dataset in datasets]
    renamed: list[dict[int, str]] = [{} for _ in datasets]
    for each in collisions(datasets):
        number, row = each.later
        if each.identical:
            keep[number][row] = False
        elif rename is None:
            raise AnimaticError(_different(datasets, each))
        else:
            renamed[number][row] = f"{rename}{number + 1}-{each.key}"
    _require_free(datasets, renamed)
    return [
        Source(dataset, mask, IDENTICAL, names)
        for dataset, mask, names in zip(datasets, keep, renamed, strict=True)
    ]


def _different(datasets: Sequence[Dataset], each: Collision) -> str:
    first, later = datasets[each.first[0]].folder, datasets[each.later[0]].folder
    return (
        f"{first} and {later} have different samples with the key {each.key}: give --rename PREFIX to rename "
        "those of later datasets"
    )


def _require_free(datasets: Sequence[Dataset], renamed: Sequence[dict[int, str]]) -> None:
    """Raise AnimaticError if a dataset has a key that another sample would get."""
    names = {name for each in renamed for name in each.values()}
    for dataset in datasets if names else ():
        for key in dataset.samples["key"].to_pylist():
            if key in names:
                raise AnimaticError(f"{dataset.folder} has a sample {key} already: choose another --rename")
