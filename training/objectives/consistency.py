"""Consistency distillation: a student whose few steps end where its teacher's many guided ones do.

Latent Consistency Models (arXiv:2310.04378, algorithm 1) as T2V-Turbo (arXiv:2405.18750) trains them from
VideoCrafter2, but for its rewards: the teacher's guided DDIM step from one point to the next, the student
itself without gradients as the target, the pseudo-Huber loss. Unlike there, the first point has no signal
where the schedule has zero terminal SNR.
"""

import torch
from torch import Tensor

from models.animator import Animator
from models.batch import Batch
from models.diffusion.consistency import consistent_clean, ddim_between
from models.diffusion.sampler import timesteps
from training.clock import StepClock
from training.config.sections import ObjectiveConfig
from training.objectives.base import Losses
from training.objectives.distillation import GuidanceDistillation
from training.objectives.teacher import Teacher


class ConsistencyDistillation(GuidanceDistillation):
    """Pseudo-Huber distance of the student's clean latents at neighbouring points of guided DDIM.

    A point and scales of guidance are drawn for each sample from its own seed.
    """

    def __init__(
        self, animator: Animator, clock: StepClock, options: ObjectiveConfig, teacher: Teacher
    ) -> None:
        super().__init__(animator, clock, options, teacher)
        points, total = self._student.points, animator.diffusion.config.timesteps
        assert points is not None  # as the configuration requires of this kind
        visited = timesteps(points, total, "uniform_trailing")
        # The clean end of the trajectory, then its points.
        self._points = torch.tensor([0, *visited.tolist()])

    def __call__(self, batch: Batch, *, temporal: bool = True) -> Losses:
        """The losses; their mean over samples is minimised. See :class:`DenoisingObjective`."""
        lesson, diffusion = self._lesson(batch, len(self._points) - 1), self.animator.diffusion
        points = self._points.to(lesson.steps.device)
        before, now = points[lesson.steps], points[lesson.steps + 1]
        noisy, _ = diffusion.diffuse(lesson.latents, lesson.noise, now)
        guided = self._teacher.predict(
            lesson.inputs(noisy), now, lesson.conditions, lesson.scales, temporal=temporal
        )
        with torch.no_grad():
            nearer = ddim_between(diffusion, guided, noisy, now, before)
            prediction = self._predict(lesson, nearer, before, temporal=temporal)
            target = consistent_clean(diffusion, prediction.float(), nearer, before)
        prediction = self._predict(lesson, noisy, now, temporal=temporal)
        clean = consistent_clean(diffusion, prediction.float(), noisy, now)
        errors = pseudo_huber(clean, target, self._options.huber_c)
        return Losses(errors.mean(), errors.detach(), now)


def pseudo_huber(found: Tensor, target: Tensor, c: float) -> Tensor:
    """Mean of sqrt((a - b)² + c²) - c of each sample, (b ...) -> (b), in float32 (arXiv:2310.14189)."""
    distance = (found.float() - target.float()).square() + c**2
    return (distance.sqrt() - c).flatten(1).mean(dim=1)
