"""The verb around finished datasets: dataset merge, split, subset, reshard, card."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestration.cli.common import (
    Address,
    AsJson,
    err,
    given,
    local_source,
    only_results_on_stdout,
    out,
    print_json,
    print_result,
    print_table,
    print_warning,
    print_work,
    refuse,
    short,
)
from orchestration.cli.submission import Cluster, Environment, Packages, submitted
from orchestration.cli.verb import add_verbs
from orchestration.workspace import display_path

if TYPE_CHECKING:
    from orchestration.launch.jobs import JobRequest, JobServer
    from orchestration.workflows.datasets import DatasetOptions
    from pipelines.reshape import ReshapeReport

PANEL = "Data"


class Action(StrEnum):
    """What to do with datasets."""

    MERGE = "merge"
    SPLIT = "split"
    SUBSET = "subset"
    RESHARD = "reshard"
    CARD = "card"


class By(StrEnum):
    """What a split keeps together."""

    SOURCE_ID = "source_id"
    KEY = "key"


_SHARDS = ("output", "shard_rows", "shard_mb", "workers", "address", "environment")
# The options that each action uses, besides --json.
USED = {
    Action.MERGE: ("rename", *_SHARDS),
    Action.SPLIT: ("into", "by", "seed", *_SHARDS),
    Action.SUBSET: ("where", "keys", "minimum", "maximum", "count", "seed", *_SHARDS),
    Action.RESHARD: _SHARDS,
    Action.CARD: ("assignments",),
}
OPTIONS = tuple(dict.fromkeys(option for options in USED.values() for option in options))

What = Annotated[
    Action,
    typer.Argument(
        help="merge datasets into one; split one into parts; make a subset of its samples; reshard: the same "
        "in shards of another size; write the card of one."
    ),
]
Paths = Annotated[
    list[str],
    typer.Argument(
        metavar="DATASET…",
        help="Folders or URLs of datasets: one, or several for merge; for split also its parts, as --into.",
    ),
]
Into = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=SHARE",
        help="split: a part, with a fraction (0.98), a number of samples (1000) or rest; repeatable.",
    ),
]
Keys = Annotated[
    Path | None,
    typer.Option(
        parser=local_source, metavar="PATH", help="subset: a file with the keys to take, one a line."
    ),
]
Minimum = Annotated[
    list[str] | None,
    typer.Option(
        "--min",
        metavar="COLUMN=NUMBER",
        help="subset: least value of a column of samples.parquet or beside the dataset; repeatable.",
    ),
]
Maximum = Annotated[
    list[str] | None,
    typer.Option("--max", metavar="COLUMN=NUMBER", help="subset: largest value; repeatable."),
]
_By = Annotated[By, typer.Option(help="split: keep together what has the same one.")]
_Output = Annotated[
    str | None,
    typer.Option(
        "--out",
        metavar="URL",
        help="Folder or URL of the result; split: of the parts, beside the dataset if not given.",
    ),
]
_Where = Annotated[
    str | None, typer.Option(help="subset: samples to take, as \"frames >= 32 and 'cat' in caption\".")
]
_Count = Annotated[int | None, typer.Option(min=1, help="subset: at most so many, drawn by --seed.")]
_Rename = Annotated[
    str | None,
    typer.Option(metavar="PREFIX", help="merge: begins new keys of samples whose key another sample has."),
]
_ShardRows = Annotated[int | None, typer.Option(min=1, help="Source rows with samples in each shard.")]
_ShardMb = Annotated[float | None, typer.Option(min=0.001, help="Largest shard, 10⁶ bytes.")]
_Assignments = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="card: as card.license=cc-by-4.0; repeatable."),
]
_Workers = Annotated[
    int | None,
    typer.Option(min=0, help="Units at once on Ray; one after another in this process if not given, or 0."),
]


def register(app: typer.Typer) -> None:
    """Add the verb to the command."""
    add_verbs(app, PANEL, (dataset,))


def dataset(
    context: typer.Context,
    action: What,
    paths: Paths,
    into: Into = None,
    by: _By = By.SOURCE_ID,
    output: _Output = None,
    where: _Where = None,
    keys: Keys = None,
    minimum: Minimum = None,
    maximum: Maximum = None,
    count: _Count = None,
    seed: Annotated[int, typer.Option(help="split and subset: of the draws.")] = 0,
    rename: _Rename = None,
    shard_rows: _ShardRows = None,
    shard_mb: _ShardMb = None,
    assignments: _Assignments = None,
    workers: _Workers = None,
    address: Address = None,
    environment: Environment = Packages.AUTO,
    as_json: AsJson = False,
) -> None:
    """Make datasets of other datasets, sample by sample unchanged; an interrupted call continues."""
    unused = [option for option in OPTIONS if option not in USED[action]]
    refuse(given(context, *unused), f"with {action}")
    if action is Action.CARD:
        _card(paths, tuple(assignments or ()), as_json)
        return
    from orchestration.workflows.datasets import DatasetOptions

    options = DatasetOptions(
        action=action.value,
        paths=tuple(paths),
        into=tuple(into or ()),
        by=by.value,
        output=output,
        where=where,
        keys=keys,
        minimum=tuple(minimum or ()),
        maximum=tuple(maximum or ()),
        count=count,
        seed=seed,
        rename=rename,
        shard_rows=shard_rows,
        shard_mb=shard_mb,
        workers=workers,
    )
    options.check()
    if not submitted(context, Cluster(address, environment, as_json), partial(_job, options)):
        _make(options, as_json)


def _make(options: DatasetOptions, as_json: bool) -> None:
    from orchestration.monitoring.progress import counting
    from orchestration.workflows.datasets import make_datasets

    with only_results_on_stdout(), counting(err(), f"dataset {options.action}") as on_progress:
        reports = make_datasets(options, on_progress)
    for notice in dict.fromkeys(notice for report in reports for notice in report.notices):
        print_warning(notice, console=err())
    print_result({"datasets": reports}, partial(_print, reports), as_json)


def _card(paths: Sequence[str], sets: tuple[str, ...], as_json: bool) -> None:
    from orchestration.workflows.dataset_card import dataset_card

    card = dataset_card(paths, sets)
    if as_json:
        print_json({"dataset": paths[0], "card": card})
        return
    stated = card["stated"]
    print_table(
        ("", ""),
        [
            ("samples", card["counts"]["samples"]),
            ("hours", f"{card['hours']:.2f}"),
            ("licence", stated.get("license_name") or stated.get("license", "not stated")),
            ("source", stated.get("source", "not stated")),
        ],
    )
    out().print(f"card of dataset {short(card['digest'])}  {display_path(paths[0])}/README.md")


def _job(options: DatasetOptions, server: JobServer) -> JobRequest:
    from orchestration.workflows.job_requests import dataset_job
    from orchestration.workspace import Workspace

    return dataset_job(options, Workspace.current(), server.resources())


def _print(reports: Sequence[ReshapeReport]) -> None:
    for report in reports:
        print_work(report.made_units, report.skipped_units, report.seconds)
        left_out = "".join(
            f", {number} left out ({reason.replace('_', ' ')})" for reason, number in report.left_out.items()
        )
        out().print(f"{report.rows} rows: {report.samples} samples{left_out}")
        out().print(f"dataset {short(report.digest)}  {display_path(report.dataset)}")
