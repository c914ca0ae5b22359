"""The ``animatic`` command: each verb is a function, which imports heavy packages when it is called."""

from __future__ import annotations

import typer

from core.signals import raise_on_signals
from orchestration.cli import (
    ablation,
    api_keys,
    calibration,
    caption,
    checkpoints,
    data,
    datasets,
    encode,
    evaluate,
    export,
    gate,
    inference,
    inspect,
    jobs,
    lineage,
    merging,
    metric,
    operations,
    page,
    planning,
    promotion,
    registry,
    run_checkpoints,
    serve,
    signatures,
    similar,
    study,
    takedown,
    training,
    vbench,
)
from orchestration.cli.common import CommandGroup
from orchestration.cli.streams import prepare_streams

app = typer.Typer(
    cls=CommandGroup,
    name="animatic",
    help="Train, promote and run image-animation models (the DynamiCrafter method).",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for module in (
    data,
    datasets,
    inspect,
    encode,
    caption,
    similar,
    takedown,
    planning,
    training,
    run_checkpoints,
    merging,
    ablation,
    promotion,
    registry,
    lineage,
    gate,
    signatures,
    export,
    inference,
    calibration,
    serve,
    api_keys,
    evaluate,
    page,
    metric,
    study,
    vbench,
    checkpoints,
    jobs,
    operations,
):
    module.register(app)


def main() -> None:
    """Entry point of the console script. Exit codes: 0 done, 1 ``error: …``, 2 usage, 128 + a signal: 130 for
    Ctrl-C."""
    prepare_streams()
    raise_on_signals()
    app()
