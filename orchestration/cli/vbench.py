"""The verb for VBench-I2V: vbench export, vbench import."""

from __future__ import annotations

from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from core.errors import AnimaticError
from orchestration.cli.common import (
    AsJson,
    Codec,
    Encoders,
    Gpus,
    Workers,
    check_workers,
    err,
    given,
    local_path,
    local_source,
    only_results_on_stdout,
    out,
    print_result,
    print_table,
    refuse,
)
from orchestration.cli.inference import PANEL
from orchestration.cli.verb import add_verbs
from orchestration.workspace import Workspace, display_path

if TYPE_CHECKING:
    from orchestration.workflows.vbench import VBenchExportOptions, VBenchImport

# Of export alone.
EXPORTING = (
    "pictures",
    "dimension",
    "bundle",
    "steps",
    "seed",
    "playback",
    "workers",
    "gpus",
    "codec",
    "encoders",
)


class Action(StrEnum):
    """What to do with VBench."""

    EXPORT = "export"
    IMPORT = "import"


_Action = Annotated[Action, typer.Argument(help="export: clips for VBench; import: its results.")]
_Files = Annotated[
    list[Path],
    typer.Argument(
        parser=local_source,
        metavar="PATH…",
        help="export: an evaluation's folder, or VBench's list of prompts; import: its result files.",
    ),
]
_Folder = Annotated[
    Path | None,
    typer.Option(
        "--out",
        parser=local_path,
        metavar="PATH",
        help="Folder for the clips, or for vbench.json: beside the results if not given.",
    ),
]
_Pictures = Annotated[
    Path | None,
    typer.Option(parser=local_source, metavar="FOLDER", help="VBench's pictures of one aspect ratio."),
]
_Dimension = Annotated[
    list[str] | None, typer.Option(help="Prompts of this dimension alone; repeat for several.")
]
_Bundle = Annotated[
    str | None, typer.Option(help="Bundle folder or id that animates; the champion if not given.")
]
_Playback = Annotated[float, typer.Option(min=0.1, max=1000, help="Frames per second of the files.")]


def register(app: typer.Typer) -> None:
    """Add the verb to the command."""
    add_verbs(app, PANEL, (vbench,))


def vbench(
    context: typer.Context,
    action: _Action,
    files: _Files,
    folder: _Folder = None,
    pictures: _Pictures = None,
    dimension: _Dimension = None,
    bundle: _Bundle = None,
    steps: Annotated[int | None, typer.Option(help="DDIM steps.")] = None,
    seed: Annotated[int, typer.Option(help="Of the noise.")] = 0,
    playback: _Playback = 8.0,
    workers: Workers = None,
    gpus: Gpus = None,
    codec: Codec = None,
    encoders: Encoders = None,
    as_json: AsJson = False,
) -> None:
    """Write clips in the layout of VBench-I2V, or read its results."""
    if action is Action.IMPORT:
        refuse(given(context, *EXPORTING), "with import")
        _import(files, folder, as_json)
        return
    check_workers(context, workers)
    from orchestration.workflows.vbench import VBenchExportOptions

    if len(files) > 1 or folder is None:
        raise AnimaticError("vbench export takes one evaluation or list of prompts, and --out for the clips")
    options = VBenchExportOptions(
        source=files[0],
        output=folder,
        pictures=pictures,
        dimensions=tuple(dimension or ()),
        bundle=bundle,
        steps=steps,
        seed=seed,
        playback=playback,
        workers=workers,
        gpus=gpus,
        codec=codec,
        encoders=encoders,
    )
    _export(options, as_json)


def _import(files: list[Path], folder: Path | None, as_json: bool) -> None:
    from orchestration.workflows import vbench as workflow

    found = workflow.import_results(files, folder)
    print_result(found, partial(_print_scores, found), as_json)


def _export(options: VBenchExportOptions, as_json: bool) -> None:
    from orchestration.monitoring.progress import counting
    from orchestration.workflows import vbench as workflow

    with only_results_on_stdout(), counting(err(), "clips") as on_progress:
        result = workflow.export(options, Workspace.current(), on_progress)
    where = display_path(options.output)
    print_result(result, lambda: out().print(f"{result.exported} clips in {where}/videos"), as_json)


def _print_scores(found: VBenchImport) -> None:
    record = found.record
    print_table(
        ("dimension", "score", "normalised", "weight"),
        [
            (name, f"{score['raw']:.4f}", f"{score['normalised']:.4f}", score["weight"])
            for name, score in record["dimensions"].items()
        ],
    )
    totals = record["totals"]
    for name, value in (
        ("quality", totals["quality"]),
        ("image to video", totals["i2v"]),
        ("total", totals["total"]),
    ):
        out().print(f"{name} {value:.4f}" if value is not None else f"{name}: a dimension has no score")
    if record["missing"]:
        out().print(f"without a score: {', '.join(record['missing'])}")
    out().print(f"record {display_path(found.file)}")
