"""Options by which verbs choose how clips are sampled."""

from __future__ import annotations

from typing import Annotated

import typer

SolverName = Annotated[
    str | None,
    typer.Option(
        "--solver", metavar="NAME", help="ddim, dpmpp_2m, unipc, sde_dpmpp_2m; consistency if distilled."
    ),
]
GuidanceInterval = Annotated[
    str | None,
    typer.Option(
        metavar="LOW,HIGH", help="Guide only between these shares of the noise schedule; 0 is its clean end."
    ),
]
GuidanceEvery = Annotated[
    int | None, typer.Option(help="Compute guidance every so many steps, and reuse it between.")
]
CacheEvery = Annotated[
    int | None, typer.Option(help="Compute the deep layers every so many steps, and reuse them between.")
]
