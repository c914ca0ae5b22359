"""The verb over stored features: metric frechet, metric kernel."""

from __future__ import annotations

from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestration.cli.common import AsJson, given, local_source, out, print_result, refuse
from orchestration.cli.verb import add_verbs

if TYPE_CHECKING:
    from orchestration.workflows.metric import FeatureDistance

PANEL = "Inference"


class Distance(StrEnum):
    """Distances between sets of features."""

    FRECHET = "frechet"
    KERNEL = "kernel"


class Divisor(StrEnum):
    """What a covariance divides its sum by."""

    N = "n"
    N_1 = "n-1"


def register(app: typer.Typer) -> None:
    """Add the verb to the command."""
    add_verbs(app, PANEL, (metric,))


def metric(
    context: typer.Context,
    distance: Annotated[
        Distance, typer.Argument(help="frechet, as in FVD; kernel: unbiased MMD², as in KVD.")
    ],
    first: Annotated[
        Path, typer.Argument(parser=local_source, metavar="A.npy", help="Features, rows × dimensions.")
    ],
    second: Annotated[Path, typer.Argument(parser=local_source, metavar="B.npy", help="The others.")],
    covariance: Annotated[
        Divisor,
        typer.Option(help="Of frechet: divide by n, as StyleGAN-V does, or n-1, as LVDM and VideoGPT do."),
    ] = Divisor.N,
    as_json: AsJson = False,
) -> None:
    """The distance between two sets of features, stored as .npy files by any extractor."""
    from orchestration.workflows import metric as workflow

    if distance is Distance.KERNEL:
        refuse(given(context, "covariance"), "with kernel, which uses no covariance")
        found = workflow.kernel(first, second)
    else:
        found = workflow.frechet(first, second, "n" if covariance is Divisor.N else "n-1")
    print_result(found, partial(_print_distance, found), as_json)


def _print_distance(found: FeatureDistance) -> None:
    interval = "" if found.low is None else f"  (95 % interval {found.low:.6g} to {found.high:.6g})"
    out().print(f"{found.metric} {found.value:.6g}{interval}")
    divisor = "" if found.covariance is None else f", covariance over {found.covariance}"
    out().print(f"{found.n_first} and {found.n_second} rows of dimension {found.dimension}{divisor}")
