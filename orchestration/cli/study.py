"""The verb for preference studies: study make, score."""

from __future__ import annotations

from collections import Counter
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from core.errors import AnimaticError
from orchestration.cli.common import (
    AsJson,
    err,
    given,
    local_path,
    local_source,
    out,
    print_result,
    print_table,
    print_warning,
    refuse,
    short,
)
from orchestration.cli.verb import add_verbs
from orchestration.workspace import display_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pipelines.evaluate.study import MadeStudy, Rate, StudyResult, StudySettings, StudySystem

PANEL = "Promotion"
Paths = Annotated[
    list[Path],
    typer.Argument(
        parser=local_source,
        metavar="PATH...",
        help="make: report.json of each system, or the folders with them. score: the study's folder, "
        "then the CSV files, or folders with them.",
    ),
]
Folder = Annotated[
    Path | None,
    typer.Option(
        "--out", parser=local_path, metavar="PATH", help="make: the folder to write, which must not exist."
    ),
]


class Action(StrEnum):
    """What to do with a study."""

    MAKE = "make"
    SCORE = "score"


def register(app: typer.Typer) -> None:
    """Add the verb to the command."""
    add_verbs(app, PANEL, (study,))


def study(
    context: typer.Context,
    action: Annotated[Action, typer.Argument(help="make a page from reports; score raters' answers.")],
    paths: Paths,
    folder: Folder = None,
    pairs: Annotated[
        int | None,
        typer.Option(min=1, help="make: pairs of clips that each rater compares; at most 30 if not given."),
    ] = None,
    raters: Annotated[int, typer.Option(min=1, max=10_000, help="make: codes for raters.")] = 20,
    seed: Annotated[
        int, typer.Option(help="make: of what each rater sees, in which order, at which side.")
    ] = 0,
    attention: Annotated[
        int, typer.Option(min=0, help="make: pairs with a damaged clip, which each rater sees besides.")
    ] = 4,
    as_json: AsJson = False,
) -> None:
    """Preference studies: a page on which people compare the clips of systems, and the result of their
    votes."""
    if action is Action.MAKE:
        if folder is None:
            raise AnimaticError(
                "name the folder to write: animatic study make REPORT_A REPORT_B --out FOLDER"
            )
        from pipelines.evaluate.study import StudySettings

        _make(paths, folder, StudySettings(pairs, raters, seed, attention), as_json)
    else:
        refuse(given(context, "folder", "pairs", "raters", "seed", "attention"), "with study score")
        _score(paths[0], paths[1:], as_json)


def _make(reports: list[Path], folder: Path, settings: StudySettings, as_json: bool) -> None:
    from orchestration.monitoring.progress import counting
    from orchestration.workflows import study as workflow

    with counting(err(), "clips") as on_progress:
        made = workflow.make(workflow.MakeStudyOptions(reports, folder, settings), on_progress)
    result = {
        "study": made.key["study"],
        "systems": made.key["systems"],
        "page": made.page,
        "raters": list(made.key["raters"]),
    }
    print_result(result, partial(_print_made, made), as_json)


def _score(folder: Path, answers: list[Path], as_json: bool) -> None:
    from orchestration.workflows import study as workflow

    result = workflow.score(folder, answers)
    print_result(result, partial(_print_score, result, folder), as_json)


def _print_made(made: MadeStudy) -> None:
    key = made.key
    if made.existed:
        out().print("nothing left to do: the study was made before")
    names = " and ".join(_names(key["systems"]).values())
    tasks = len(next(iter(key["raters"].values())))
    attention = len(key["attention"])
    out().print(f"study {key['study']} of {names} on {key['protocol']['n']} clips")
    out().print(
        f"{len(key['raters'])} raters, each with {tasks - attention} pairs and {attention} attention pairs"
    )
    out().print(f"page {display_path(made.page)}: give raters its folder, or put it on a web server")
    out().print(f"codes {display_path(made.folder / 'raters.csv')}; key.json beside it is not for raters")


def _print_score(result: StudyResult, folder: Path) -> None:
    counted = sum(rater["counted"] for rater in result["raters"])
    out().print(f"study {result['study']}: {result['votes']} votes of {counted} raters")
    for rater in result["raters"]:
        if not rater["counted"]:
            print_warning(
                f"rater {rater['rater']} is excluded: {rater['right']} of {rater['checked']} attention "
                "checks were right"
            )
    names = _names(result["systems"])
    print_table(
        ("question", "system", "against", "win rate", "wins", "ties", "losses"),
        list(_pair_rows(result, names)),
    )
    out().print()
    print_table(("question", "rank", "system", "chosen", "strength"), list(_system_rows(result, names)))
    out().print()
    for question, alpha in result["agreement"].items():
        out().print(
            f"agreement on {question}: {'unknown' if alpha is None else f'{alpha:.2f}'} (Krippendorff)"
        )
    out().print(f"result {display_path(folder / 'study.json')}")


def _pair_rows(result: StudyResult, names: dict[str, str]) -> Iterator[tuple[object, ...]]:
    for each in result["pairs"]:
        counts = (each["wins"], each["ties"], each["losses"])
        yield each["question"], names[each["first"]], names[each["second"]], _share(each["win_rate"]), *counts


def _system_rows(result: StudyResult, names: dict[str, str]) -> Iterator[tuple[object, ...]]:
    order = list(result["agreement"])  # of the questions
    for each in sorted(result["results"], key=lambda row: (order.index(row["question"]), row["rank"])):
        low, high = each["strength"]["low"], each["strength"]["high"]
        interval = "" if low is None or high is None else f" ({low:+.2f} to {high:+.2f})"
        strength = f"{each['strength']['value']:+.2f}{interval}"
        yield each["question"], each["rank"], names[each["system"]], _share(each["selection"]), strength


def _share(rate: Rate) -> str:
    interval = (
        "" if rate["low"] is None or rate["high"] is None else f" ({rate['low']:.0%} to {rate['high']:.0%})"
    )
    return f"{rate['value']:.0%}{interval}"


def _names(systems: Sequence[StudySystem]) -> dict[str, str]:
    """By report, the name of a system with its digest; with that of the report, where one was evaluated
    twice."""
    names = {system["report"]: f"{system['name']} {short(system['digest'])}" for system in systems}
    often = Counter(names.values())
    return {
        report: f"{name}, report {short(report)}" if often[name] > 1 else name
        for report, name in names.items()
    }
