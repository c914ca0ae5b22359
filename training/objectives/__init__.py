"""What is minimised: the objective that a run's configuration names."""

from models.animator import Animator
from training.clock import StepClock
from training.config import RunConfig
from training.objectives.base import Losses, Objective
from training.objectives.denoising import DenoisingObjective

__all__ = ["Losses", "Objective", "build_objective"]


def build_objective(config: RunConfig, animator: Animator, clock: StepClock) -> Objective:
    """The objective that ``objective.kind`` names, of an animator's network; ``clock``: of its encoders."""
    kinds = {"denoising": DenoisingObjective}
    return kinds[config.objective.kind](animator, clock)
