"""The paper's ablations: one matrix of trainings and evaluations that share what they have in common.

Nothing has a state of its own: a run is found by its folder, which is named by its inputs, and an evaluation
by its bundle and protocol. So the same call goes on wherever it was stopped.
"""

from orchestration.workflows.ablation.document import failed, notes, table
from orchestration.workflows.ablation.execution import (
    DOCUMENT,
    RESULTS,
    AblationObserver,
    run_ablation,
)
from orchestration.workflows.ablation.plan import plan_ablation
from orchestration.workflows.ablation.records import AblationRecord
from orchestration.workflows.ablation.request import AblationOptions, AblationRequest, prepare_ablation
from orchestration.workflows.ablation.states import AblationPlan, CellPlan, RunPlan
from orchestration.workflows.ablation.variants import VARIANTS

__all__ = [
    "DOCUMENT",
    "RESULTS",
    "VARIANTS",
    "AblationObserver",
    "AblationOptions",
    "AblationPlan",
    "AblationRecord",
    "AblationRequest",
    "CellPlan",
    "RunPlan",
    "failed",
    "notes",
    "plan_ablation",
    "prepare_ablation",
    "run_ablation",
    "table",
]
