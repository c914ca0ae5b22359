"""Backends own the trained weights and their optimizer; the loop knows them by the protocol ``Backend``."""

from training.backends.base import Backend, StepResult
from training.backends.deepspeed import DeepSpeedBackend
from training.backends.ema import Ema

__all__ = ["Backend", "DeepSpeedBackend", "Ema", "StepResult"]
