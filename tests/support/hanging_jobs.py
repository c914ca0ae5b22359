"""Runs of which one process hangs at one step, once."""

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

from models.batch import Batch
from tests.support.training_jobs import SyntheticSource, run_stage
from training.objectives.denoising import DenoisingObjective
from training.processes.group import ProcessGroup

HANGING_RANK, HANGING_STEP = 1, 3


def hang_forever() -> None:
    """The call that never returns."""
    threading.Event().wait()


def run_hanging(config_path: str, run_dir: str, where: str) -> dict[str, Any]:
    """:func:`run_stage` on two processes, one of which hangs in its ``objective``, its ``data``, or a
    ``collective`` that the other one does not take part in."""
    hanging = {"objective": _objective, "data": _data, "collective": _collective}[where]
    with hanging() if os.environ["RANK"] == str(HANGING_RANK) else contextlib.nullcontext():
        return run_stage(config_path, run_dir)


def _objective() -> contextlib.AbstractContextManager[Any]:
    return _at_step(hang_forever)


def _collective() -> contextlib.AbstractContextManager[Any]:
    return _at_step(lambda: ProcessGroup(HANGING_RANK, 2).together(hang_never))


def hang_never() -> None:
    """Returns."""


def _at_step(hang: Any) -> contextlib.AbstractContextManager[Any]:
    real, calls = DenoisingObjective.__call__, iter(range(1, 1000))

    def call(self: DenoisingObjective, batch: Batch, **options: Any) -> Any:
        if next(calls) == HANGING_STEP:
            hang()
        return real(self, batch, **options)

    return patch.object(DenoisingObjective, "__call__", call)


def _data() -> contextlib.AbstractContextManager[Any]:
    real = SyntheticSource.batches

    def batches(self: SyntheticSource, *shape: Any) -> Iterator[Batch]:
        for number, batch in enumerate(real(self, *shape), 1):
            if number == HANGING_STEP:
                hang_forever()
            yield batch

    return patch.object(SyntheticSource, "batches", batches)


def contents(folder: Path) -> list[str]:
    """Names of all files below a folder."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
