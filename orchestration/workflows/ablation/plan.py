"""What of a matrix exists, what is left, and how long that will take."""

from __future__ import annotations

from collections.abc import Mapping

from models.bundle import open_bundle
from orchestration.workflows import evaluate
from orchestration.workflows.ablation.matrix import Cell, Run
from orchestration.workflows.ablation.pace import Paces
from orchestration.workflows.ablation.request import AblationRequest
from orchestration.workflows.ablation.states import AblationPlan, CellPlan, RunPlan
from orchestration.workflows.train_request import prepare_training
from training.checkpoints import complete_checkpoints, read_manifest
from training.publish import finished_bundle
from training.run_folder import RunFolder


def plan_ablation(request: AblationRequest) -> AblationPlan:
    """Look at what exists; nothing is trained or written.

    Raises:
        AnimaticError: a bundle fails verification, or the base or the data cannot be read.
    """
    found: dict[Run, RunPlan] = {}
    for run in request.matrix.runs:
        found[run] = _look(request, run, found)
    paces = Paces.measured(request, [plan for plan in found.values() if plan.folder is not None])
    cells = tuple(_cell(request, cell, found, paces) for cell in request.matrix.cells)
    timed = {plan.run: plan.seconds for cell in cells for plan in cell.runs}
    left = [*timed.values(), *(cell.seconds for cell in cells)]
    known = [seconds for seconds in left if seconds is not None]
    return AblationPlan(cells, sum(known) if len(known) == len(left) else None)


def _look(request: AblationRequest, run: Run, found: Mapping[Run, RunPlan]) -> RunPlan:
    parent = None if run.parent is None else found[run.parent].bundle
    if request.options.data is None or (run.parent is not None and parent is None):
        return RunPlan(run, "to do")
    training = prepare_training(request.train_options(run, parent), request.workspace)
    folder = RunFolder(training.run_dir)
    if finished_bundle(training.config, folder, training.dataset_digest, training.sources) is not None:
        return RunPlan(run, "finished", folder.path, run.steps)
    checkpoints = complete_checkpoints(folder.checkpoints)
    step = read_manifest(checkpoints[-1]).step if checkpoints else 0
    return RunPlan(run, "interrupted" if folder.journal.exists() else "to do", folder.path, step)


def _cell(
    request: AblationRequest,
    cell: Cell,
    found: Mapping[Run, RunPlan],
    paces: Paces,
) -> CellPlan:
    runs = tuple(paces.timed(found[run]) for run in cell.runs)
    bundle = runs[-1].bundle
    if bundle is None or request.options.held_out is None:
        return CellPlan(cell, runs, evaluated=False, seconds=paces.evaluation())
    options = request.evaluate_options(open_bundle(bundle))
    planned = evaluate.plan(evaluate.prepare_evaluation(options, request.workspace))
    evaluated = planned.report.exists()
    return CellPlan(cell, runs, evaluated, 0.0 if evaluated else paces.evaluation())
