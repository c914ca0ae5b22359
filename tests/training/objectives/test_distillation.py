"""Guidance distillation: what the teacher predicts, what the student learns, and what stays as it is."""

import copy
from dataclasses import replace

import pytest
import torch

from models.animate import NetworkDenoiser
from models.animator import Animator
from models.batch import Batch
from models.denoising import latent_posteriors
from models.diffusion.guidance import guide
from models.diffusion.settings import SamplingSettings
from models.network.conditioning import repeat_over_time
from models.pixels import to_signed
from models.student import StudentConfig
from tests.support.distilled import clips, guided_architecture, teacher_and_student
from tests.support.small_animator import small_animator
from training.clock import StepClock
from training.config.sections import ObjectiveConfig
from training.objectives.distillation import GuidanceDistillation
from training.objectives.teacher import Conditions, Teacher

BOTH = StudentConfig(text_guidance=(1, 6), image_guidance=(1, 3), guidance_rescale=0.7)
ONE = StudentConfig(text_guidance=(1, 6))
OPTIONS = ObjectiveConfig(kind="guidance_distillation")


def lesson(config: StudentConfig = BOTH) -> tuple[Animator, GuidanceDistillation]:
    """A teacher, and the objective of its student."""
    first, student, teacher = teacher_and_student(config)
    return first, GuidanceDistillation(student, StepClock(), OPTIONS, teacher)


@pytest.fixture
def batch() -> Batch:
    return clips()


@pytest.mark.parametrize("config", [BOTH, ONE])
def test_the_teacher_predicts_what_guided_sampling_does_with_each_samples_own_scales(batch, config):
    animator, objective = lesson(config)
    still = to_signed(batch.stills)
    latents = latent_posteriors(animator, batch)[0].transpose(1, 2)
    detail = repeat_over_time(animator.codec.encode(still), 3)
    timesteps = torch.tensor([3, 400, 999])
    scales = torch.tensor([[1.0, 1.0], [2.5, 1.5], [6.0, 3.0]])
    if config.image_guidance is None:
        scales[:, 1] = scales[:, 0]
    empty, grey = animator.encoders.text([""]), animator.encoders.image(torch.zeros_like(still[:1]))
    text, features = animator.encoders.text(batch.captions), animator.encoders.image(still)
    conditions = Conditions(text, empty, features, grey, batch.fps)
    inputs = torch.cat([latents, detail], dim=1)
    found = objective._teacher.predict(inputs, timesteps, conditions, scales, temporal=True)
    with torch.no_grad():
        given, left_out = animator.image_context(still, 3), animator.image_context(torch.zeros_like(still), 3)
    texts = {"none": empty.expand(3, -1, -1), "image": empty.expand(3, -1, -1), "both": text}
    images = {"none": left_out, "image": given, "both": given}
    denoise = NetworkDenoiser(animator.network.unet, texts, images, detail, batch.fps)
    for row, (by_text, by_image) in enumerate(scales.tolist()):
        settings = SamplingSettings(
            text_guidance=by_text,
            image_guidance=None if config.image_guidance is None else by_image,
            guidance_rescale=config.guidance_rescale,
        )
        with torch.no_grad():
            guided = guide(denoise, latents, timesteps, settings)
        torch.testing.assert_close(found[row], guided[row], rtol=1e-4, atol=1e-4)


def test_the_loss_is_the_distance_to_the_guided_prediction(batch):
    """With scales of 1 alone, guidance is none: a new student predicts exactly what its teacher does."""
    alone = StudentConfig(text_guidance=(1, 1))
    _, objective = lesson(alone)
    objective.animator.eval()
    torch.testing.assert_close(objective(batch).samples, torch.zeros(3), rtol=0, atol=1e-9)
    _, guided = lesson(ONE)
    guided.animator.eval()
    assert (guided(batch).samples > 1e-4).all()


def test_a_samples_loss_is_its_own_and_follows_its_seed(batch):
    _, objective = lesson()
    whole = objective(batch)
    single = torch.cat([objective(part).samples for part in batch.split(1)])
    torch.testing.assert_close(whole.samples, single, rtol=1e-4, atol=1e-7)
    other = objective(replace(batch, seed=batch.seed + 1))
    assert (other.samples != whole.samples).all() and (other.timesteps != whole.timesteps).any()
    scales = objective._lesson(replace(batch, seed=batch.seed + 1), 1000).scales
    assert scales.unique().numel() == 6 and scales.min() >= 1
    assert (scales[:, 0] <= 6).all() and (scales[:, 1] <= 3).all()


def test_conditions_are_never_left_out(batch):
    _, objective = lesson()
    dropped = replace(batch, drop_text=~batch.drop_text, drop_image=~batch.drop_image)
    assert torch.equal(objective(batch).samples, objective(dropped).samples)


def test_stored_latents_and_text_features_give_the_same_loss(batch):
    _, objective = lesson()
    animator = objective.animator
    mean, std = latent_posteriors(animator, batch)
    stored = replace(
        batch,
        pixels=batch.stills[:, None],
        latents=torch.stack([mean, std], dim=2),
        text=animator.encoders.text(batch.captions),
    )
    torch.testing.assert_close(objective(batch).samples, objective(stored).samples)


def test_a_student_comes_nearer_to_the_guided_teacher_which_stays_as_it_is(batch):
    _, objective = lesson(ONE)
    network, teacher = objective.animator.network.train(), objective._teacher.network
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    losses = []
    for _ in range(25):
        optimizer.zero_grad()
        loss = objective(batch).mean
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    # The student began as the teacher without guidance: the first loss is the distance of that.
    assert losses[-1] < 0.5 * losses[0]
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())
    assert not any(parameter.requires_grad for parameter in teacher.parameters())
    assert network.unet.guidance_embedding[2].weight.abs().max() > 0


def test_a_distilled_teacher_makes_its_guided_prediction_in_one_pass(batch):
    student = small_animator(guided_architecture(BOTH))
    config = StudentConfig(text_guidance=(2, 3), image_guidance=(1, 2), guidance_rescale=0.7)
    objective = GuidanceDistillation(
        student, StepClock(), OPTIONS, Teacher(copy.deepcopy(student.network), config, BOTH)
    )
    torch.testing.assert_close(objective(batch).mean, torch.zeros(()), rtol=0, atol=1e-9)
    assert BOTH.covers(config) and not config.covers(BOTH)
    assert not BOTH.covers(config.model_copy(update={"guidance_rescale": 0.0}))
