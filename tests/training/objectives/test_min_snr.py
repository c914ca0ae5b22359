"""Min-SNR weights: those of the paper, of the schedule that latents are diffused with, finite everywhere."""

import pytest
import torch

from core.errors import AnimaticError
from models.architecture import DiffusionConfig
from models.diffusion.schedule import Diffusion
from training.objectives.min_snr import min_snr_weights

GAMMA = 5.0


def measured_snr(config: DiffusionConfig) -> torch.Tensor:
    """What ``diffuse`` makes of signal alone and of noise alone, at every step."""
    diffusion = Diffusion(config).double()
    steps = torch.arange(config.timesteps)
    one, zero = torch.ones(config.timesteps, 1).double(), torch.zeros(config.timesteps, 1).double()
    signal, noise = diffusion.diffuse(one, zero, steps)[0], diffusion.diffuse(zero, one, steps)[0]
    return (signal / noise).square()[:, 0]


@pytest.mark.parametrize("zero_terminal_snr", [True, False])
@pytest.mark.parametrize("base_scale", [None, 0.7])
def test_the_weights_of_v_are_those_of_the_final_schedule(zero_terminal_snr, base_scale):
    config = DiffusionConfig(parameterization="v", zero_terminal_snr=zero_terminal_snr, base_scale=base_scale)
    snr, weights = measured_snr(config), min_snr_weights(config, GAMMA)
    expected = snr.clamp(max=GAMMA) / (snr + 1)
    torch.testing.assert_close(weights.double(), expected, rtol=1e-3, atol=1e-6)
    assert weights.isfinite().all() and weights.max() <= 1
    assert (weights[-1] == 0) == zero_terminal_snr


@pytest.mark.parametrize("base_scale", [None, 0.7])
def test_the_weights_of_noise_are_one_where_there_is_little_signal(base_scale):
    config = DiffusionConfig(parameterization="eps", zero_terminal_snr=False, base_scale=base_scale)
    snr, weights = measured_snr(config), min_snr_weights(config, GAMMA)
    torch.testing.assert_close(weights.double(), snr.clamp(max=GAMMA) / snr, rtol=1e-3, atol=1e-6)
    assert weights[0] < 0.01 and weights[-1] == 1


def test_noise_without_signal_is_refused_with_the_fix():
    config = DiffusionConfig(parameterization="eps", zero_terminal_snr=False, base_scale=0.0)
    with pytest.raises(AnimaticError, match=r"min_snr_gamma.*parameterization=v"):
        min_snr_weights(config, GAMMA)
    with pytest.raises(ValueError, match="zero terminal SNR: use parameterization v"):
        DiffusionConfig(parameterization="eps", zero_terminal_snr=True)
