"""A small clip, which fails where a model or the device does not work."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestration.serving.engine.clips import Precision
from orchestration.serving.engine.interface import LoadedModel

if TYPE_CHECKING:
    from torch import Tensor


def small_clip(model: LoadedModel, steps: int, precision: Precision | None) -> Tensor:
    """A clip (1 t 3 h w) of a grey picture.

    Args:
        steps: of sampling, or the model's own if those are fewer.
        precision: of the network; None takes the model's.

    Raises:
        AnimaticError: it is not finite.
        Exception: whatever the device raises.
    """
    import torch

    from models.animate import animate

    architecture = model.animator.architecture
    grey = torch.zeros(1, 3, architecture.height, architecture.width)
    sampling = model.exported.sampling
    chosen = {"steps": min(steps, sampling.steps), "precision": precision or sampling.precision}
    settings = sampling.model_copy(update=chosen)
    return animate(model.animator, grey, ["a grey picture"], settings)
