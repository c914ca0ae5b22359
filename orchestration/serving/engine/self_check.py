"""A small clip that shows whether a device still works."""

from __future__ import annotations

from orchestration.serving.engine.interface import LoadedModel


def self_check(model: LoadedModel, steps: int) -> None:
    """Make a clip of a grey picture in ``steps`` steps, and discard it.

    Raises:
        AnimaticError: it is not finite.
        Exception: whatever the device raises.
    """
    import torch

    from models.animate import animate

    architecture = model.animator.architecture
    grey = torch.zeros(1, 3, architecture.height, architecture.width)
    settings = model.exported.sampling.model_copy(update={"steps": steps})
    animate(model.animator, grey, ["a grey picture"], settings)
