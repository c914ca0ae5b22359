"""Several evaluations as one job: the actors start once, and work until the last of them ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache, partial

from core.errors import AnimaticError
from pipelines.cluster.actors import run_on_actors
from pipelines.evaluate.generating import ChunkGenerator, Generating
from pipelines.evaluate.job import generating, is_measured, measuring, report_measured
from pipelines.evaluate.measuring import ChunkMeasurer, Measuring
from pipelines.evaluate.plan import EvaluationPlan
from pipelines.evaluate.records import EvaluationReport
from pipelines.evaluate.storage import EvaluationFolder


def evaluate_together(
    plans: Sequence[EvaluationPlan], progress: Callable[[int, int], None] = lambda done, total: None
) -> list[EvaluationReport]:
    """Generate and measure the clips of several plans; their reports, in the order of the plans.

    Every plan has its own folder, whose content is that of :func:`pipelines.evaluate.generate_clips` and
    :func:`pipelines.evaluate.measure_clips` on it alone; what is stored is kept. Unlike these, every actor
    holds the networks of all plans, and the extractors, at the same time. ``progress`` is called with (clips
    done, clips) over all plans.

    Raises AnimaticError as these functions do, if two plans have one folder, or if the plans are to run on
    different clusters, devices or numbers of actors.
    """
    folders = [EvaluationFolder(plan.config.output) for plan in plans]
    with ExitStack() as locks:
        for plan, folder in zip(plans, folders, strict=True):
            locks.enter_context(folder.writing())
            folder.require_identity(plan.identity)
        _complete(plans, folders, progress)
        return [report_measured(plan, folder) for plan, folder in zip(plans, folders, strict=True)]


@dataclass(frozen=True)
class _ChunkTask:
    """A chunk of the plan with the number ``plan``, and what is missing of it; ``clips`` as in the plan."""

    plan: int
    number: int
    clips: list[int]
    generate: bool
    measure: bool


class _ChunkEvaluator:
    """Holds the systems and extractors of all plans; generates and measures chunks."""

    def __init__(self, works: Sequence[tuple[Generating, Measuring]]) -> None:
        self._generators, self._measurers = [], []
        for made, read in works:
            opened = cache(partial(made.system.open, made.device))
            self._generators.append(ChunkGenerator(made, opened))
            self._measurers.append(ChunkMeasurer(read, opened))

    def ready(self) -> None:
        """A system is loaded for the first task that needs it."""

    def make(self, task: _ChunkTask) -> int:
        """Do what is missing of a chunk; returns its number of clips. Errors as of the two classes."""
        if task.generate:
            self._generators[task.plan].make((task.number, task.clips))
        if task.measure:
            self._measurers[task.plan].make(task.number)
        return len(task.clips)


def _complete(
    plans: Sequence[EvaluationPlan],
    folders: Sequence[EvaluationFolder],
    progress: Callable[[int, int], None],
) -> None:
    """Have actors do what is missing of all chunks."""
    tasks = [
        _ChunkTask(n, number, clips, not folder.has_chunk(number), not is_measured(plan, folder, number))
        for n, (plan, folder) in enumerate(zip(plans, folders, strict=True))
        for number, clips in enumerate(plan.chunks)
    ]
    missing = [task for task in tasks if task.generate or task.measure]
    total = sum(len(task.clips) for task in tasks)
    done = total - sum(len(task.clips) for task in missing)
    progress(done, total)
    if not missing:
        return
    workers, gpus_per_worker, address = _common_actors(plans)
    for clips in run_on_actors(
        _ChunkEvaluator,
        ([(generating(plan), measuring(plan)) for plan in plans],),
        missing,
        workers=min(workers, len(missing)),
        gpus_per_worker=gpus_per_worker,
        address=address,
    ):
        done += clips
        progress(done, total)


def _common_actors(plans: Sequence[EvaluationPlan]) -> tuple[int, float, str | None]:
    """The workers, GPUs of each and cluster that all plans name."""
    actors = {(plan.config.workers, plan.config.gpus_per_worker, plan.config.address) for plan in plans}
    if len(actors) > 1:
        raise AnimaticError(
            "evaluations in one job need the same workers, gpus_per_worker and address: evaluate them one "
            "by one"
        )
    return actors.pop()
