"""Sampling step by step against the formulas, written out for single numbers."""

import math

import pytest
import torch

from models.architecture import DiffusionConfig
from models.diffusion.guidance import rescale
from models.diffusion.noise import draw_noise
from models.diffusion.sampler import sample, timesteps
from models.diffusion.schedule import Diffusion
from models.diffusion.settings import SamplingSettings

SHAPE = (2, 3, 2, 1, 1)


def generators() -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in (1, 2)]


def test_rescaled_guidance_has_the_deviation_of_the_conditioned_prediction():
    torch.manual_seed(0)
    conditioned = torch.randn(2, 4, 2, 3, 3)
    guided = torch.stack([3 * conditioned[0], 0.5 * conditioned[1]])  # each sample has a ratio of its own
    torch.testing.assert_close(rescale(guided, conditioned, 1.0), conditioned)
    torch.testing.assert_close(rescale(guided, conditioned, 0.0), guided)
    half = rescale(guided, conditioned, 0.5)
    torch.testing.assert_close(half[0], 2 * conditioned[0])
    torch.testing.assert_close(half[1], 0.75 * conditioned[1])


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("base_scale", [None, 0.7])
def test_every_step_is_that_of_ddim(eta, base_scale):
    """arXiv:2010.02502, equation 12, with v-prediction and the published sampler's dynamic rescale."""
    diffusion = Diffusion(DiffusionConfig(base_scale=base_scale))
    settings = SamplingSettings(steps=4, eta=eta, text_guidance=1.0)
    torch.manual_seed(0)
    noise = torch.randn(SHAPE)
    found = sample(diffusion, lambda x, step, names: [torch.sin(3 * x)], noise, settings, generators())

    visited = [int(step) for step in timesteps(4, 1000, "uniform_trailing")]
    added = generators()
    x = noise.double()
    alphas, scales = diffusion.alphas_cumprod.double(), diffusion.signal_scale.double()
    for index in (3, 2, 1, 0):
        now = visited[index]
        alpha, before = float(alphas[now]), float(alphas[visited[index - 1] if index else 0])
        v = torch.sin(3 * x)
        clean, eps = (
            math.sqrt(alpha) * x - math.sqrt(1 - alpha) * v,
            math.sqrt(alpha) * v + math.sqrt(1 - alpha) * x,
        )
        clean = clean * float(scales[visited[index - 1] if index else now] / scales[now])
        sigma = eta * math.sqrt((1 - before) / (1 - alpha)) * math.sqrt(1 - alpha / before)
        x = math.sqrt(before) * clean + math.sqrt(max(0.0, 1 - before - sigma**2)) * eps
        if eta:
            x = x + sigma * torch.stack([torch.randn(SHAPE[1:], generator=each) for each in added])
    torch.testing.assert_close(found.double(), x, rtol=1e-4, atol=1e-4)


def test_the_network_gets_the_step_of_every_sample_and_progress_counts_from_one():
    seen, progress = [], []

    def denoise(latents, timestep, names):
        seen.append(timestep.tolist())
        return [latents for _ in names]

    settings = SamplingSettings(steps=4, eta=0.0)
    sample(
        Diffusion(DiffusionConfig()),
        denoise,
        torch.zeros(SHAPE),
        settings,
        progress=lambda *done: progress.append(done),
    )
    assert seen == [[999, 999], [749, 749], [499, 499], [249, 249]]
    assert progress == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_noise_is_drawn_from_the_generator_of_each_sample():
    drawn = draw_noise(generators(), torch.zeros(SHAPE, dtype=torch.bfloat16))
    assert drawn.dtype == torch.bfloat16
    for row, generator in zip(drawn, generators(), strict=True):
        assert torch.equal(row, torch.randn(SHAPE[1:], generator=generator).bfloat16())


def test_a_schedule_is_not_part_of_the_weights():
    assert not Diffusion(DiffusionConfig()).state_dict()
