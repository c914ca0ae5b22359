"""A small clip, which fails where a model or the device does not work."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestration.serving.engine.interface import LoadedModel

if TYPE_CHECKING:
    from torch import Tensor


def small_clip(model: LoadedModel, steps: int) -> Tensor:
    """A clip (1 t 3 h w) of a grey picture, in ``steps`` steps or the model's own if those are fewer.

    Raises:
        AnimaticError: it is not finite.
        Exception: whatever the device raises.
    """
    import torch

    from models.animate import animate

    architecture = model.animator.architecture
    grey = torch.zeros(1, 3, architecture.height, architecture.width)
    sampling = model.exported.sampling
    settings = sampling.model_copy(update={"steps": min(steps, sampling.steps)})
    return animate(model.animator, grey, ["a grey picture"], settings)
