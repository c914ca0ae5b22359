"""What a run measures of itself: losses, gradients, where the time goes, memory, arithmetic."""

from training.observe.meter import EngineState, StepMeter, Utilisation
from training.observe.profiler import StepProfiler

__all__ = ["EngineState", "StepMeter", "StepProfiler", "Utilisation"]
