"""What a run does at regular intervals to show how good its weights are: held-out loss, sample clips."""

from training.validation.validation import Validation

__all__ = ["Validation"]
