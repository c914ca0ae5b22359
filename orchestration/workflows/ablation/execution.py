"""Train and evaluate the cells of a matrix, one after another; what exists is kept."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from core.canonical_json import canonical_json
from core.disk_errors import usable_folder
from core.errors import AnimaticError
from core.files import write_text
from core.lock import named_lock
from core.storage import LOCK
from models.bundle import open_bundle
from orchestration.monitoring import TrainingProgress
from orchestration.workflows import evaluate, train
from orchestration.workflows.ablation.differences import variant_metrics
from orchestration.workflows.ablation.document import markdown
from orchestration.workflows.ablation.matrix import Cell, Run
from orchestration.workflows.ablation.records import (
    ABLATION_FORMAT,
    AblationRecord,
    CellRecord,
    TrainedRun,
    VariantRecord,
)
from orchestration.workflows.ablation.request import AblationRequest
from orchestration.workflows.ablation.variants import FULL, Variant
from orchestration.workflows.train_request import prepare_training
from pipelines.evaluate import EvaluationReport

RESULTS, DOCUMENT = "ablation.json", "ablation.md"


class AblationObserver(Protocol):
    """Receives the progress of an ablation."""

    def training(self, title: str) -> AbstractContextManager[Callable[[TrainingProgress], None]]:
        """A run begins; the function gets its progress."""
        ...

    def evaluating(self, title: str) -> AbstractContextManager[Callable[[int, int], None]]:
        """An evaluation begins; the function gets (clips done, clips)."""
        ...

    def done(self, title: str, *, fresh: bool) -> None:
        """A run or an evaluation is finished; ``fresh``: it was not finished before."""
        ...

    def warn(self, message: str) -> None:
        """Something happened that did not stop the work."""
        ...


@dataclass
class _Progress:
    """What this call knows of the matrix so far."""

    bundles: dict[Run, Path] = field(default_factory=dict)
    ids: dict[Run, str] = field(default_factory=dict)
    failures: dict[Run, str] = field(default_factory=dict)
    cells: dict[Cell, CellRecord] = field(default_factory=dict)
    reports: dict[Cell, EvaluationReport] = field(default_factory=dict)
    dataset: str | None = None


def run_ablation(request: AblationRequest, observer: AblationObserver) -> AblationRecord:
    """Train what is missing, evaluate every cell, and write ``ablation.json`` and ``ablation.md`` after each.

    A cell that fails has its cause in the record and does not stop the others; a run that failed is not
    tried again for another cell in the same call.

    Raises:
        AnimaticError: the folder cannot be written to, or the same command is running elsewhere.
    """
    folder, progress = usable_folder(request.folder), _Progress()
    with named_lock(folder / LOCK, "ablation", folder=folder):
        for cell in request.matrix.cells:
            _finish_cell(request, observer, progress, cell)
            record = _record(request, progress)
            write_text(folder / RESULTS, canonical_json(record).decode())
            write_text(folder / DOCUMENT, markdown(record))
    return record


def _finish_cell(
    request: AblationRequest,
    observer: AblationObserver,
    progress: _Progress,
    cell: Cell,
) -> None:
    error: str | None = None
    try:
        for run in cell.runs:
            _finish_run(request, observer, progress, run)
        _evaluate(request, observer, progress, cell)
    except AnimaticError as failure:
        error = str(failure)
        observer.warn(f"{_title(request, cell)} failed: {error}")
    report = progress.reports.get(cell)
    progress.cells[cell] = CellRecord(
        seed=cell.seed,
        runs=[_trained(run, progress) for run in cell.runs],
        bundle=progress.ids.get(cell.runs[-1]),
        report=None if report is None else report["digest"],
        error=error,
    )


def _finish_run(
    request: AblationRequest,
    observer: AblationObserver,
    progress: _Progress,
    run: Run,
) -> None:
    if run in progress.bundles:
        return
    if run in progress.failures:
        raise AnimaticError(progress.failures[run])
    parent = None if run.parent is None else progress.bundles[run.parent]
    try:
        training = prepare_training(request.train_options(run, parent), request.workspace)
        with observer.training(run.title) as on_progress:
            outcome = train.train(
                training, request.workspace, on_progress, observer.warn, launcher=request.options.launcher
            )
    except AnimaticError as error:
        progress.failures[run] = f"{run.title}: {error}"
        raise AnimaticError(progress.failures[run]) from error
    progress.dataset = training.dataset_digest
    progress.bundles[run], progress.ids[run] = outcome.run.bundle_path, outcome.run.bundle_id
    observer.done(run.title, fresh=outcome.run.steps is not None)


def _evaluate(
    request: AblationRequest,
    observer: AblationObserver,
    progress: _Progress,
    cell: Cell,
) -> None:
    bundle = open_bundle(progress.bundles[cell.runs[-1]])
    options = request.evaluate_options(bundle)
    planned = evaluate.plan(evaluate.prepare_evaluation(options, request.workspace))
    fresh, title = not planned.report.exists(), f"evaluation of {_title(request, cell)}"
    with observer.evaluating(title) as on_progress:
        progress.reports[cell] = evaluate.evaluate(planned, on_progress)
    observer.done(title, fresh=fresh)


def _title(request: AblationRequest, cell: Cell) -> str:
    return cell.variant.name + (f" seed {cell.seed}" if len(request.seeds) > 1 else "")


def _trained(run: Run, progress: _Progress) -> TrainedRun:
    return {
        "stage": run.stage,
        "switches": list(run.switches),
        "steps": run.steps,
        "bundle": progress.ids.get(run),
    }


def _record(request: AblationRequest, progress: _Progress) -> AblationRecord:
    report = next(iter(progress.reports.values()), None)
    return {
        "format": ABLATION_FORMAT,
        "preset": request.options.preset,
        "sets": list(request.options.sets),
        "seeds": request.seeds,
        "steps": {str(stage): config.train.steps for stage, config in request.configs.items()},
        "dataset": progress.dataset,
        "protocol": None if report is None else report["protocol"],
        "sampling": None if report is None else report["system"].get("sampling"),
        "variants": [_variant(progress, variant) for variant in request.variants],
    }


def _variant(progress: _Progress, variant: Variant) -> VariantRecord:
    own = {cell.seed: report for cell, report in progress.reports.items() if cell.variant == variant}
    full = {cell.seed: report for cell, report in progress.reports.items() if cell.variant == FULL}
    compared = None if variant == FULL or not full else full
    return {
        "name": variant.name,
        "title": variant.title,
        "cells": [record for cell, record in progress.cells.items() if cell.variant == variant],
        "metrics": variant_metrics(own, compared),
    }
