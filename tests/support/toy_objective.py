"""A second kind of objective, as distillation would be: the loop and the backend know nothing of it."""

from typing import Any
from unittest.mock import patch

import torch

from models.animator import Animator
from models.batch import Batch
from models.denoising import latent_posteriors, squared_error
from tests.support.training_jobs import run_stage
from training.clock import StepClock
from training.config.sections import ObjectiveConfig
from training.objectives import OBJECTIVES, Losses


class ToyObjective:
    """The network should return its input at timestep 0, without text: no timestep and no noise is drawn."""

    def __init__(self, animator: Animator, clock: StepClock, options: ObjectiveConfig) -> None:
        self._animator, self._clock = animator, clock

    def __call__(self, batch: Batch, *, temporal: bool) -> Losses:
        animator = self._animator
        with self._clock.phase("encode"):
            batch = batch.to(animator.device)
            latents = latent_posteriors(animator, batch)[0].transpose(1, 2)
        start = torch.zeros(len(batch), dtype=torch.int64, device=latents.device)
        text = latents.new_zeros(len(batch), 1, animator.architecture.unet.context_dim)
        prediction = animator.network.unet(latents, start, text, None, batch.fps, temporal=temporal)
        errors = squared_error(prediction, latents)
        return Losses(errors.mean(), errors.detach(), start - 1)


def run_toy(config_path: str, run_dir: str, options: dict[str, Any] | None = None) -> dict[str, Any]:
    """As :func:`tests.support.training_jobs.run_stage`, with the toy as what ``objective.kind`` names."""
    with patch.dict(OBJECTIVES, {"denoising": ToyObjective}):
        return run_stage(config_path, run_dir, options)
