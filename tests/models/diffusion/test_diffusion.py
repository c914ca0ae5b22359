"""Schedule, target, sampler: the published maths."""

import pytest
import torch
from pydantic import ValidationError

from core.errors import AnimaticError
from models.architecture import DiffusionConfig
from models.diffusion.guidance import guide
from models.diffusion.sampler import sample, timesteps
from models.diffusion.schedule import Diffusion
from models.diffusion.settings import SamplingSettings


def test_zero_terminal_snr_leaves_no_signal_at_the_last_step():
    plain = Diffusion(DiffusionConfig(parameterization="eps", zero_terminal_snr=False)).alphas_cumprod
    shifted = Diffusion(DiffusionConfig(zero_terminal_snr=True)).alphas_cumprod
    assert float(plain[999]) == pytest.approx(0.00466010, abs=1e-7)
    assert float(shifted[999]) == 0.0
    assert float(shifted[0]) == pytest.approx(float(plain[0])) == pytest.approx(0.99915)


def test_epsilon_with_zero_terminal_snr_is_refused():
    with pytest.raises(ValidationError, match="zero terminal SNR"):
        DiffusionConfig(parameterization="eps", zero_terminal_snr=True)


@pytest.mark.parametrize("parameterization", ["eps", "v"])
def test_the_target_at_a_step_splits_into_clean_latents_and_noise(parameterization):
    diffusion = Diffusion(DiffusionConfig(parameterization=parameterization, zero_terminal_snr=False))
    torch.manual_seed(0)
    clean, noise = torch.randn(1, 4, 2, 3, 3), torch.randn(1, 4, 2, 3, 3)
    noisy, target = diffusion.diffuse(clean, noise, torch.tensor([400]))
    found_clean, found_noise = diffusion.split(target, noisy, 400)
    torch.testing.assert_close(found_clean, clean, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(found_noise, noise, rtol=1e-3, atol=1e-4)


def test_each_sample_of_a_batch_is_diffused_to_its_own_step():
    diffusion = Diffusion(DiffusionConfig(base_scale=0.7))
    torch.manual_seed(0)
    clean, noise = torch.randn(3, 3, 2, 4, 4), torch.randn(3, 3, 2, 4, 4)
    steps = torch.tensor([0, 400, 999])
    together = diffusion.diffuse(clean, noise, steps)
    alone = [diffusion.diffuse(clean[i : i + 1], noise[i : i + 1], steps[i : i + 1]) for i in range(3)]
    for whole, parts in zip(together, zip(*alone, strict=True), strict=True):
        torch.testing.assert_close(whole, torch.cat(parts))


def test_dynamic_rescale_reaches_its_scale_at_step_400():
    scale = Diffusion(DiffusionConfig(base_scale=0.7)).signal_scale
    assert float(scale[0]) == 1.0
    assert float(scale[399]) == float(scale[999]) == pytest.approx(0.7)
    assert float(scale[19]) == pytest.approx(0.9857, abs=1e-4)


def test_visited_steps_equal_the_published_ones():
    assert timesteps(50, 1000, "uniform")[[0, 1, -1]].tolist() == [1, 21, 981]
    assert timesteps(50, 1000, "uniform_trailing")[[0, 1, -1]].tolist() == [19, 39, 999]


@pytest.mark.parametrize("spacing", ["uniform", "uniform_trailing"])
@pytest.mark.parametrize("total", [1000, 999, 20])
def test_visited_steps_stay_within_the_schedule_for_every_number_of_them(spacing, total):
    for steps in range(1, total + 1):
        visited = timesteps(steps, total, spacing)
        assert visited[0] >= 0 and visited[-1] < total and (visited[1:] > visited[:-1]).all(), steps
        assert spacing == "uniform" or len(visited) == steps
    with pytest.raises(
        AnimaticError, match=f"steps is {total + 1}, but the model's noise schedule has {total}"
    ):
        timesteps(total + 1, total, spacing)


def test_separate_guidance_weighs_the_three_predictions():
    predictions = {"none": 1.0, "image": 10.0, "both": 100.0}

    def denoise(latents, timestep, names):
        return [torch.full_like(latents, predictions[name]) for name in names]

    latents, step = torch.zeros(1, 1, 1, 1, 1), torch.tensor([0])
    separate = guide(denoise, latents, step, SamplingSettings(text_guidance=2, image_guidance=3))
    assert float(separate) == 1 + 3 * (10 - 1) + 2 * (100 - 10)
    joint = guide(denoise, latents, step, SamplingSettings(text_guidance=2))
    assert float(joint) == 1 + 2 * (100 - 1)


def test_guidance_of_one_runs_a_single_pass():
    requested = []

    def denoise(latents, timestep, names):
        requested.append(list(names))
        return [latents for _ in names]

    guide(denoise, torch.zeros(1, 1, 1, 1, 1), torch.tensor([0]), SamplingSettings(text_guidance=1))
    assert requested == [["both"]]


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_a_perfect_denoiser_recovers_the_clean_latents(eta):
    diffusion = Diffusion(DiffusionConfig())
    torch.manual_seed(0)
    clean = torch.randn(2, 4, 2, 3, 3)

    def denoise(latents, timestep, names):
        alpha = diffusion.alphas_cumprod[timestep[0]]
        noise = (latents - alpha.sqrt() * clean) / (1 - alpha).sqrt()
        return [alpha.sqrt() * noise - (1 - alpha).sqrt() * clean for _ in names]

    generators = [torch.Generator().manual_seed(seed) for seed in (1, 2)]
    settings = SamplingSettings(steps=20, eta=eta)
    out = sample(diffusion, denoise, torch.randn_like(clean), settings, generators)
    # The published sampler stops at alpha of step 0, which keeps 3 % of noise.
    assert (out - clean).abs().max() < 0.15
