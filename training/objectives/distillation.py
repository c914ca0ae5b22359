"""Guidance distillation: a student's single pass predicts what its teacher's guided passes do.

On Distillation of Guided Diffusion Models (arXiv:2210.03142), section 3.1, with DynamiCrafter's two scales.
Captions and images are never left out: a guided prediction has them both.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from models.animator import Animator
from models.batch import Batch
from models.denoising import squared_error
from models.frozen_parts import on_device
from models.network.conditioning import repeat_over_time
from models.pixels import to_signed
from models.student import StudentConfig
from training.clock import StepClock
from training.config.sections import ObjectiveConfig
from training.objectives.base import Losses
from training.objectives.denoising import NOISE_STREAM, DenoisingObjective, sample_generator
from training.objectives.teacher import Conditions, Teacher


@dataclass(frozen=True)
class Lesson:
    """What a teacher and its student are given for a batch.

    Attributes:
        latents: (b c t h w), clean.
        detail: (b c t h w), the condition's latent at every frame; None without detail guidance.
        noise: (b c t h w).
        steps: (b) int64, drawn from those that the objective has.
        scales: (b 2) of guidance by text and image.
    """

    latents: Tensor
    detail: Tensor | None
    conditions: Conditions
    noise: Tensor
    steps: Tensor
    scales: Tensor

    def inputs(self, noisy: Tensor) -> Tensor:
        """Noisy latents as a network takes them."""
        return noisy if self.detail is None else torch.cat([noisy, self.detail], dim=1)


class GuidanceDistillation(DenoisingObjective):
    """Mean squared error between the student's prediction and the teacher's guided one.

    At random diffusion steps and random scales of guidance, each sample's from its own seed.
    """

    def __init__(
        self, animator: Animator, clock: StepClock, options: ObjectiveConfig, teacher: Teacher
    ) -> None:
        super().__init__(animator, clock, options)
        student = animator.architecture.student
        assert student is not None  # as the stage's network has guidance embedding
        self._student: StudentConfig = student
        self._teacher = teacher
        self._no_text: Tensor | None = None
        self._no_features: Tensor | None = None

    def __call__(self, batch: Batch, *, temporal: bool = True) -> Losses:
        """The losses; their mean over samples is minimised. See :class:`DenoisingObjective`."""
        lesson = self._lesson(batch, self.animator.diffusion.config.timesteps)
        noisy, _ = self.animator.diffusion.diffuse(lesson.latents, lesson.noise, lesson.steps)
        target = self._teacher.predict(
            lesson.inputs(noisy), lesson.steps, lesson.conditions, lesson.scales, temporal=temporal
        )
        prediction = self._predict(lesson, noisy, lesson.steps, temporal=temporal)
        errors = squared_error(prediction, target)
        return Losses(errors.mean(), errors.detach(), lesson.steps)

    def _predict(self, lesson: Lesson, noisy: Tensor, timesteps: Tensor, *, temporal: bool) -> Tensor:
        """The student's prediction (b c t h w) in one pass."""
        network, conditions = self.animator.network, lesson.conditions
        image = None
        if network.context is not None:
            image = network.context(conditions.features, noisy.shape[2])
        return network.unet(
            lesson.inputs(noisy),
            timesteps,
            conditions.text,
            image,
            conditions.fps,
            temporal=temporal,
            guidance=lesson.scales,
            motion=conditions.motion,
        )

    def _lesson(self, batch: Batch, steps: int) -> Lesson:
        """Encode a batch; draw noise, scales, and a number below ``steps`` for each sample."""
        animator = self.animator
        batch = replace(batch.to(animator.device), drop_text=torch.zeros_like(batch.drop_text))
        seeds: list[int] = batch.seed.tolist()
        with self._clock.phase("encode"):
            latents = self._clip_latents(batch, seeds)
            conditions = self._conditions(batch)
        detail = None
        if animator.architecture.unet.detail_guidance:
            rows = torch.arange(len(latents), device=latents.device)
            condition = latents.transpose(1, 2)[rows, batch.condition_index]
            detail = repeat_over_time(condition, latents.shape[2])
        noise, drawn, scales = self._draw_lesson(seeds, latents.shape[1:], steps)
        return Lesson(
            latents,
            detail,
            conditions,
            noise.to(latents, non_blocking=True),
            drawn.to(latents.device, non_blocking=True),
            scales.to(latents.device, non_blocking=True),
        )

    def _conditions(self, batch: Batch) -> Conditions:
        encoders = self.animator.encoders
        if self._no_text is None:
            with on_device(self.animator, "text tower"):
                self._no_text = encoders.text([""])
        features = None
        if self.animator.network.context is not None:
            still = to_signed(batch.stills)
            features = encoders.image(still)
            if self._no_features is None:
                # As published, an image left out is a grey one for CLIP.
                self._no_features = encoders.image(torch.zeros_like(still[:1]))
        return Conditions(
            self._text_context(batch),
            self._no_text,
            features,
            self._no_features,
            batch.fps,
            self._motion(batch, temporal=True),
        )

    def _draw_lesson(
        self, seeds: Sequence[int], shape: torch.Size, steps: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Noise (b, *shape), numbers below ``steps`` (b), scales (b 2) on the CPU, by each sample's seed."""
        noise, drawn, scales = [], [], []
        text, image = self._student.text_guidance, self._student.image_guidance
        for seed in seeds:
            generator = sample_generator(seed, NOISE_STREAM)
            drawn.append(torch.randint(steps, (), generator=generator))
            noise.append(torch.randn(shape, generator=generator))
            chance = torch.rand(2, generator=generator)
            by_text = text[0] + (text[1] - text[0]) * chance[0]
            by_image = by_text if image is None else image[0] + (image[1] - image[0]) * chance[1]
            scales.append(torch.stack([by_text, by_image]))
        return torch.stack(noise), torch.stack(drawn), torch.stack(scales)
