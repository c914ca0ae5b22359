"""Consistency: its function at both ends of a trajectory, its steps, and the networks that take it."""

import pytest
import torch

from core.errors import AnimaticError
from models.architecture import DiffusionConfig
from models.diffusion.consistency import consistent_clean, ddim_between
from models.diffusion.sampler import sample, timesteps
from models.diffusion.schedule import Diffusion
from models.diffusion.settings import SamplingSettings
from models.diffusion.student import guidance_scales
from models.student import StudentConfig

CONFIGS = [
    DiffusionConfig(),
    DiffusionConfig(base_scale=0.7),
    DiffusionConfig(parameterization="eps", zero_terminal_snr=False),
]
SETTINGS = SamplingSettings(solver="consistency", eta=1, steps=4, text_guidance=1.0)
POINTS = StudentConfig(points=50)


def latents(seed: int) -> torch.Tensor:
    return torch.randn(2, 4, 3, 2, 2, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("config", CONFIGS)
def test_the_function_finds_the_clean_latents_whatever_the_noise(config):
    diffusion, clean, noise = Diffusion(config), latents(0), latents(1)
    for step in (19, 399, 979):
        now = torch.tensor([step, step - 10])
        noisy, target = diffusion.diffuse(clean, noise, now)
        torch.testing.assert_close(
            consistent_clean(diffusion, target, noisy, now), clean, rtol=1e-3, atol=1e-3
        )


def test_at_the_clean_end_it_is_the_identity_and_without_signal_v_decides_alone():
    diffusion, noisy, prediction = Diffusion(DiffusionConfig(base_scale=0.5)), latents(0), latents(1)
    found = consistent_clean(diffusion, prediction, noisy, torch.tensor([0, 999]))
    torch.testing.assert_close(found[0], noisy[0])
    torch.testing.assert_close(found[1], -prediction[1] / 0.5, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("config", CONFIGS)
def test_a_step_between_points_is_one_of_the_teachers_ddim(config):
    diffusion, visited = Diffusion(config), timesteps(50, 1000, "uniform_trailing")

    def network(x, step, names):
        return [torch.sin(x + step.view(-1, 1, 1, 1, 1) / 300) for _ in names]

    settings = SamplingSettings(steps=50, eta=0, text_guidance=1.0)
    seen = []
    sample(diffusion, lambda x, *rest: seen.append(x) or network(x, *rest), latents(0), settings)
    for index in (0, 20, 48):
        now, before = (torch.full((2,), int(visited[49 - each])) for each in (index, index + 1))
        (prediction,) = network(seen[index], now, ["both"])
        found = ddim_between(diffusion, prediction, seen[index], now, before)
        torch.testing.assert_close(found, seen[index + 1], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("config", [DiffusionConfig(), DiffusionConfig(base_scale=0.7)])
@pytest.mark.parametrize("steps", [1, 2, 8])
def test_a_network_that_knows_the_clip_samples_it_in_any_number_of_steps(config, steps):
    diffusion, clean = Diffusion(config), latents(0)

    def exact(x, step, names):
        """v of these clean latents, from the noise that the noisy ones contain."""
        t = int(step[0])
        alpha, scaled = diffusion.alphas_cumprod[t], clean * diffusion.signal_scale[t]
        noise = (x - alpha.sqrt() * scaled) / (1 - alpha).sqrt()
        return [alpha.sqrt() * noise - (1 - alpha).sqrt() * scaled for _ in names]

    def draws():
        return [torch.Generator().manual_seed(seed) for seed in (1, 2)]

    settings = SETTINGS.model_copy(update={"steps": steps})
    found = sample(diffusion, exact, latents(1), settings, draws())
    torch.testing.assert_close(found, clean, rtol=1e-3, atol=1e-3)


def test_solver_and_network_fit_each_other():
    assert guidance_scales(POINTS, SETTINGS) == (1, 1)
    assert guidance_scales(None, SamplingSettings()) is None
    for student in (None, StudentConfig()):
        with pytest.raises(AnimaticError, match="solver consistency is for networks that were distilled"):
            guidance_scales(student, SETTINGS)
    with pytest.raises(AnimaticError, match="solver ddim: this network was distilled for solver consistency"):
        guidance_scales(POINTS, SamplingSettings())
    for changes in ({"steps": 51}, {"spacing": "uniform"}):
        with pytest.raises(AnimaticError, match="at most 50 steps of spacing uniform_trailing"):
            guidance_scales(POINTS, SETTINGS.model_copy(update=changes))
    with pytest.raises(ValueError, match="solver consistency adds as much noise as eta 1"):
        SamplingSettings(solver="consistency", eta=0)


def test_a_network_that_samples_by_consistency_teaches_nobody():
    assert StudentConfig().covers(POINTS) and not POINTS.covers(StudentConfig())


def test_between_steps_clean_latents_get_new_noise_of_each_sample():
    diffusion, seen = Diffusion(DiffusionConfig()), []

    def network(x, step, names):
        seen.append((x, step))
        return [torch.sin(x + step.view(-1, 1, 1, 1, 1) / 300) for _ in names]

    def draws():
        return [torch.Generator().manual_seed(seed) for seed in (1, 2)]

    sample(diffusion, network, latents(1), SETTINGS.model_copy(update={"steps": 2}), draws())
    (first, now), (second, before) = seen
    clean = consistent_clean(diffusion, network(first, now, ["both"])[0], first, now)
    drawn = torch.stack([torch.randn(first.shape[1:], generator=each) for each in draws()])
    torch.testing.assert_close(second, diffusion.diffuse(clean, drawn, before)[0])
