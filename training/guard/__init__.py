"""What happens to steps whose loss or gradients are out of the ordinary."""

from training.guard.guard import Guard
from training.guard.skipped_steps import RollBack

__all__ = ["Guard", "RollBack"]
