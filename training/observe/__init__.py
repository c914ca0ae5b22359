"""What a run measures of itself: losses, gradients, where the time goes, memory."""

from training.observe.memory import peak_memory
from training.observe.meter import StepMeter

__all__ = ["StepMeter", "peak_memory"]
