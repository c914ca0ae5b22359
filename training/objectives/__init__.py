"""What is minimised: the objective that a run's configuration names."""

from collections.abc import Callable, Mapping

from models.animator import Animator
from training.clock import StepClock
from training.config import RunConfig
from training.config.sections import ObjectiveConfig
from training.objectives.base import Losses, Objective
from training.objectives.consistency import ConsistencyDistillation
from training.objectives.denoising import DenoisingObjective
from training.objectives.distillation import GuidanceDistillation
from training.objectives.load_teacher import load_teacher, teacher_on_meta
from training.objectives.teacher import Teacher

__all__ = [
    "DISTILLATIONS",
    "OBJECTIVES",
    "Losses",
    "Objective",
    "Teacher",
    "build_objective",
    "load_teacher",
    "teacher_on_meta",
]

# By ``objective.kind``; the clock times the encoders.
OBJECTIVES: Mapping[str, Callable[[Animator, StepClock, ObjectiveConfig], Objective]] = {
    "denoising": DenoisingObjective
}
# Those that learn from a teacher, of stages that have one.
DISTILLATIONS: Mapping[str, Callable[[Animator, StepClock, ObjectiveConfig, Teacher], Objective]] = {
    "guidance_distillation": GuidanceDistillation,
    "consistency": ConsistencyDistillation,
}


def build_objective(
    config: RunConfig, animator: Animator, clock: StepClock, teacher: Teacher | None = None
) -> Objective:
    """The objective that ``objective.kind`` names, of an animator's network; ``clock``: of its encoders.

    ``teacher``: None loads that of a run which distils, whose network has its initial weights.

    Raises AnimaticError where the configuration of the objective does not fit that of the model, or the
    teacher cannot be used.
    """
    options = config.objective
    if options.kind in DISTILLATIONS:
        teacher = teacher or load_teacher(config, animator.network)
        return DISTILLATIONS[options.kind](animator, clock, options, teacher)
    return OBJECTIVES[options.kind](animator, clock, options)
