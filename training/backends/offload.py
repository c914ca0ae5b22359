"""What DeepSpeed leaves to do where its optimizer is offloaded."""

from typing import Any


def drop_skipped_gradients(engine: Any) -> None:
    """Drop the gradients of a step that was skipped, after DeepSpeed's own clean-up.

    DeepSpeed 0.19.8 does so without offload; with it, stage 2 adds those of the next step to what is left, so
    that after one step with a gradient that is not finite all are skipped (measured).
    """
    gradients = getattr(engine.optimizer, "averaged_gradients", None)
    if isinstance(gradients, dict):
        gradients.update(dict.fromkeys(gradients))
