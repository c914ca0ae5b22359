"""What is minimised: the objective that a run's configuration names."""

from collections.abc import Callable, Mapping

from models.animator import Animator
from training.clock import StepClock
from training.config import RunConfig
from training.config.sections import ObjectiveConfig
from training.objectives.base import Losses, Objective
from training.objectives.denoising import DenoisingObjective

__all__ = ["OBJECTIVES", "Losses", "Objective", "build_objective"]

# By ``objective.kind``; the clock times the encoders.
OBJECTIVES: Mapping[str, Callable[[Animator, StepClock, ObjectiveConfig], Objective]] = {
    "denoising": DenoisingObjective
}


def build_objective(config: RunConfig, animator: Animator, clock: StepClock) -> Objective:
    """The objective that ``objective.kind`` names, of an animator's network; ``clock``: of its encoders.

    Raises AnimaticError where the configuration of the objective does not fit that of the model.
    """
    return OBJECTIVES[config.objective.kind](animator, clock, config.objective)
