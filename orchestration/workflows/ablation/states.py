"""What exists of a matrix, and what is left."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from orchestration.workflows.ablation.matrix import Cell, Run
from training.run_folder import RunFolder

State = Literal["finished", "interrupted", "to do"]


@dataclass(frozen=True)
class RunPlan:
    """A run and what exists of it.

    Attributes:
        folder: None until the bundle of its parent exists, whose id is part of the folder's name.
        step: that it resumes from.
        seconds: left; None where no run gives a pace.
    """

    run: Run
    state: State
    folder: Path | None = None
    step: int = 0
    seconds: float | None = None

    @property
    def bundle(self) -> Path | None:
        """Its product, if it is finished."""
        return RunFolder(self.folder).bundle if self.folder and self.state == "finished" else None


@dataclass(frozen=True)
class CellPlan:
    """A cell: its runs in order, and its evaluation, with the ``seconds`` left of that alone."""

    cell: Cell
    runs: tuple[RunPlan, ...]
    evaluated: bool
    seconds: float | None


@dataclass(frozen=True)
class AblationPlan:
    """All cells; ``seconds`` are left for everything, None where a part cannot be estimated."""

    cells: tuple[CellPlan, ...]
    seconds: float | None
