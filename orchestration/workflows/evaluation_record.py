"""An evaluation at the trackers of the run whose bundle it measured."""

from __future__ import annotations

import time
from pathlib import Path

from core.errors import AnimaticError
from models.bundle import Bundle
from orchestration.tracking import Evaluated, record_evaluation, run_of_bundle
from orchestration.workflows.sync import display_bundle
from orchestration.workspace import Workspace
from pipelines.evaluate import EvaluationReport


def attach_report(bundle: Bundle, report: EvaluationReport, folder: Path, workspace: Workspace) -> str | None:
    """Record a finished evaluation in the run that made the bundle, and attach its report at its trackers.

    Nothing is done for a bundle outside of a run folder. The evaluation is finished in any case: what fails
    here is a line to display.

    Args:
        folder: of the evaluation, with its report and page.
    """
    run = run_of_bundle(bundle.folder)
    if run is None:
        return None
    evaluated = Evaluated(
        time=time.time(),
        bundle=bundle.id,
        folder=str(folder.resolve()),
        report=report["digest"],
        protocol=report["protocol"]["name"],
        clips=report["protocol"]["n"],
        values={name: metric["value"] for name, metric in report["metrics"].items()},
    )
    try:
        record_evaluation(run, evaluated)
        problems = display_bundle(bundle.folder, workspace)
    except (AnimaticError, OSError) as error:
        return f"the report is not attached to the run {run}: {error}"
    return "; ".join(problems) or None
