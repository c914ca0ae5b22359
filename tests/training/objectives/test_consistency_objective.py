"""Consistency distillation: the loss is zero where predictions agree, and a student learns to agree."""

import pytest
import torch

from core.errors import AnimaticError
from models.denoising import latent_posteriors
from models.student import StudentConfig
from tests.support.distilled import clips, teacher_and_student
from training.clock import StepClock
from training.config import resolve
from training.config.sections import ObjectiveConfig
from training.objectives.consistency import ConsistencyDistillation, pseudo_huber

CONFIG = StudentConfig(text_guidance=(1, 3), points=10)
OPTIONS = ObjectiveConfig(kind="consistency")
KIND = ("objective.kind=consistency", "model.student.points=50")
SAMPLING = "validation.sampling={solver: consistency, eta: 1.0, steps: 4}"


def objective() -> ConsistencyDistillation:
    _, student, teacher = teacher_and_student(CONFIG)
    return ConsistencyDistillation(student, StepClock(), OPTIONS, teacher)


def test_predictions_that_lead_to_one_clip_from_every_point_have_no_loss(monkeypatch):
    """Teacher and student know the clean latents, so that all of the trajectory has one end."""
    distillation, batch = objective(), clips()
    diffusion = distillation.animator.diffusion
    clean = latent_posteriors(distillation.animator, batch)[0].transpose(1, 2)
    channels = clean.shape[1]

    def exact(inputs, timesteps, *args, conditions=1, **named):
        alpha = diffusion.alphas_cumprod[timesteps].view(-1, 1, 1, 1, 1)
        noise = (inputs[:, :channels] - alpha.sqrt() * clean) / (1 - alpha).sqrt()
        return (alpha.sqrt() * noise - (1 - alpha).sqrt() * clean).repeat(conditions, 1, 1, 1, 1)

    for network in (distillation.animator.network, distillation._teacher.network):
        monkeypatch.setattr(network.unet, "forward", exact)
    samples = distillation(batch).samples
    # The clean end of the trajectory is step 0 of the schedule, which has a little noise left.
    assert samples.max() < 0.05
    wrong = distillation.animator.network.unet
    monkeypatch.setattr(wrong, "forward", lambda *args, **named: exact(*args, **named) * 0.5)
    assert (distillation(batch).samples > samples).all()


def test_points_are_those_of_the_teachers_ddim_and_every_sample_draws_its_own():
    distillation, batch = objective(), clips()
    whole = distillation(batch)
    assert set(whole.timesteps.tolist()) <= set(range(99, 1000, 100))
    single = torch.cat([distillation(part).samples for part in batch.split(1)])
    torch.testing.assert_close(whole.samples, single, rtol=1e-3, atol=1e-6)


def test_the_target_is_where_the_teacher_leads():
    distillation, batch = objective(), clips()
    before = distillation(batch).samples
    with torch.no_grad():
        for parameter in distillation._teacher.network.parameters():
            parameter.mul_(0.5)
    assert (distillation(batch).samples != before).all()


def test_a_student_learns_to_agree_and_only_its_noisier_prediction_moves():
    distillation, batch = objective(), clips()
    network, unet = distillation.animator.network.train(), distillation.animator.network.unet
    graphs = []
    handle = unet.register_forward_hook(lambda module, args, found: graphs.append(found.requires_grad))
    optimizer, losses = torch.optim.Adam(network.parameters(), lr=1e-3), []
    for _ in range(15):
        optimizer.zero_grad()
        loss = distillation(batch).mean
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    handle.remove()
    assert losses[-1] < 0.7 * losses[0]
    assert graphs == [False, True] * 15
    assert not any(parameter.requires_grad for parameter in distillation._teacher.network.parameters())


def test_the_loss_is_squared_near_zero_and_linear_far_from_it():
    target = torch.zeros(1, 4)
    near, far = (pseudo_huber(target + offset, target, 0.001).item() for offset in (1e-5, 2.0))
    assert near == pytest.approx(1e-10 / 0.002, rel=0.05) and far == pytest.approx(1.999, rel=1e-4)


def test_the_width_of_the_squared_part_is_the_configured_one():
    _, student, teacher = teacher_and_student(CONFIG)
    losses = [
        ConsistencyDistillation(student, StepClock(), OPTIONS.model_copy(update={"huber_c": c}), teacher)(
            clips()
        ).mean.item()
        for c in (0.001, 1.0)
    ]
    assert losses[1] < 0.7 * losses[0]


def test_the_objective_and_the_student_agree_on_points():
    config = resolve(4, "tiny", [*KIND, SAMPLING])
    assert config.model.student.points == 50
    for sets, message in (
        (KIND[:1], "kind consistency needs points"),
        (KIND[1:], "other kinds have none"),
        (KIND, "this network was distilled for solver consistency: set that"),
        ((*KIND, SAMPLING, "objective.min_snr_gamma=5"), "min_snr_gamma: of kind denoising"),
    ):
        with pytest.raises(AnimaticError, match=message):
            resolve(4, "tiny", sets)
    with pytest.raises(AnimaticError, match="is for stage 4, which distils, not for stage 3"):
        resolve(3, "tiny", ["objective.kind=guidance_distillation"])
    with pytest.raises(AnimaticError, match="denoising is for stages 0 to 3, not for stage 4"):
        resolve(4, "tiny", ["objective.kind=denoising"])
