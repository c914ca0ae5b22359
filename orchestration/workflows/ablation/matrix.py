"""The matrix: the cells of all variants and seeds, and the runs that they share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from orchestration.workflows.ablation.variants import Variant, VariantStage


@dataclass(frozen=True)
class Run:
    """A stage to train. Equal runs are one: variants share what they have in common.

    Attributes:
        parent: the run whose bundle it continues; None where it needs none.
    """

    stage: int
    switches: tuple[str, ...]
    steps: int
    seed: int
    parent: Run | None

    @property
    def title(self) -> str:
        """For display: the stage, and what is different in it and before."""
        switches = ", ".join(dict.fromkeys(name for run in self.lineage for name in run.switches))
        return f"stage {self.stage}" + (f" ({switches.replace('_', ' ')})" if switches else "")

    @property
    def lineage(self) -> tuple[Run, ...]:
        """The runs up to this one, in order."""
        return (*(self.parent.lineage if self.parent else ()), self)


@dataclass(frozen=True)
class Cell:
    """A variant trained with one seed, to be evaluated; ``runs`` in order."""

    variant: Variant
    seed: int
    runs: tuple[Run, ...]


@dataclass(frozen=True)
class Matrix:
    """All cells: first all variants of the first seed."""

    cells: tuple[Cell, ...]

    @cached_property
    def runs(self) -> tuple[Run, ...]:
        """Every run once, each after the one that it continues."""
        return tuple(dict.fromkeys(run for cell in self.cells for run in cell.runs))


def build_matrix(variants: Sequence[Variant], seeds: Iterable[int], steps: dict[int, int]) -> Matrix:
    """The cells of these variants and seeds; ``steps``: of each stage."""
    return Matrix(
        tuple(
            Cell(variant, seed, _runs(variant.stages, seed, steps)) for seed in seeds for variant in variants
        )
    )


def _runs(stages: Sequence[VariantStage], seed: int, steps: dict[int, int]) -> tuple[Run, ...]:
    runs: list[Run] = []
    for stage in stages:
        own = sum(steps[number] for number in stage.steps_of or (stage.number,))
        runs.append(Run(stage.number, stage.switches, own, seed, runs[-1] if runs else None))
    return tuple(runs)
