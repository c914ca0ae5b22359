"""The verb that measures a network's motion condition: calibrate-motion."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestration.cli.common import (
    AsJson,
    Codec,
    Encoders,
    bundle_fields,
    err,
    local_path,
    only_results_on_stdout,
    out,
    print_result,
    print_table,
    short,
)
from orchestration.cli.verb import add_verbs
from orchestration.workspace import Workspace, display_path

if TYPE_CHECKING:
    from orchestration.workflows.calibrate_motion import CalibratedBundle

PANEL = "Inference"


def register(app: typer.Typer) -> None:
    """Add the verb to the command."""
    add_verbs(app, PANEL, (calibrate_motion,))


def calibrate_motion(
    data: Annotated[str, typer.Argument(help="Dataset with `animatic score --metrics subject_motion`.")],
    bundle: Annotated[str | None, typer.Option(help="Bundle folder, id or alias; else the champion.")] = None,
    preset: Annotated[str | None, typer.Option(help="Champion of this preset.")] = None,
    path: Annotated[
        Path | None,
        typer.Option(
            "--out",
            parser=local_path,
            metavar="PATH",
            help="The calibrated bundle; runs/calibrated/BUNDLE if not given.",
        ),
    ] = None,
    clips: Annotated[int, typer.Option(min=1, help="Pictures to fit with, and as many to test with.")] = 16,
    levels: Annotated[int, typer.Option(min=2, max=50, help="Values that the network is given.")] = 6,
    given: Annotated[
        tuple[float, float] | None,
        typer.Option(
            metavar="LEAST MOST",
            help="Ends of these values, percent of the short side a frame; if not given, the dataset's.",
        ),
    ] = None,
    amplification: Annotated[
        float,
        typer.Option(
            min=1,
            max=20,
            help="Factor on what the motion changes of a prediction; above 1, twice the passes.",
        ),
    ] = 1.0,
    batch: Annotated[int, typer.Option(min=1, help="Clips sampled at once.")] = 8,
    steps: Annotated[int | None, typer.Option(help="Steps of sampling; the bundle's if not given.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of the pictures and of the noise.")] = None,
    codec: Codec = None,
    encoders: Encoders = None,
    as_json: AsJson = False,
) -> None:
    """Make a bundle whose clips move as much as is asked for: measure what they move by, and correct it."""
    from orchestration.monitoring.progress import counting
    from orchestration.workflows import calibrate_motion as workflow

    options = workflow.CalibrateOptions(
        data=data, bundle=bundle, preset=preset, out=path, clips=clips, levels=levels, given=given,
        amplification=amplification, batch=batch, steps=steps, seed=seed, codec=codec, encoders=encoders,
    )  # fmt: skip
    plan = workflow.prepare_calibration(options, Workspace.current())
    with only_results_on_stdout(), counting(err(), "clips") as on_progress:
        made = workflow.calibrate(plan, on_progress)
    value = {
        **bundle_fields(made.id, made.folder),
        "calibration": made.calibration,
        "tests": made.tests,
    }
    print_result(value, partial(_print_calibrated, made), as_json)


def _print_calibrated(made: CalibratedBundle) -> None:
    rows = [(f"{each.asked:.3g}", f"{each.measured:.3g}") for each in made.tests]
    print_table(("motion asked for", "measured"), rows)
    low, high = made.calibration.range
    twice = made.calibration.doubling_error
    doubled = "" if twice is None else f", of a doubling {100 * twice:.3g} %"
    out().print(
        f"motion {low:.3g} to {high:.3g} percent of the short side a frame; largest error "
        f"{100 * made.calibration.error:.3g} %{doubled}"
    )
    out().print(f"bundle {short(made.id)}  {display_path(made.folder)}")
