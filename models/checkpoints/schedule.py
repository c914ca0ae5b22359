"""The schedule buffers that published checkpoints carry beside the weights.

They are written for other tools and never loaded: the noise schedule follows from the architecture.
"""

import numpy as np
import torch
from torch import Tensor

from models.architecture import DiffusionConfig
from models.diffusion.schedule import RESCALE_STEPS, dynamic_rescale, linear_betas, zero_terminal_snr

BUFFERS = (
    "betas",
    "alphas_cumprod",
    "alphas_cumprod_prev",
    "sqrt_alphas_cumprod",
    "sqrt_one_minus_alphas_cumprod",
    "log_one_minus_alphas_cumprod",
    "sqrt_recip_alphas_cumprod",
    "sqrt_recipm1_alphas_cumprod",
    "posterior_variance",
    "posterior_log_variance_clipped",
    "posterior_mean_coef1",
    "posterior_mean_coef2",
)
SCALE = "scale_arr"


def scale_length(config: DiffusionConfig) -> int:
    """Length of ``scale_arr``: the published one counts its ramp twice and is longer than the schedule."""
    return config.timesteps + RESCALE_STEPS


def schedule_buffers(config: DiffusionConfig) -> dict[str, Tensor]:
    """Every buffer of a schedule by its public key: (timesteps) float32, computed in float64.

    DDPM's quantities (arXiv:2006.11239, equations 4 to 7) as latent-diffusion names them, and ``scale_arr``
    (timesteps + 400) where the architecture has a dynamic rescale. Predicting v, the two ``sqrt_recip*``
    buffers are zero, as published: at zero terminal SNR they are infinite.
    """
    betas = _betas(config)
    alphas = 1.0 - betas
    cumprod = np.cumprod(alphas)
    before = np.append(1.0, cumprod[:-1])
    variance = betas * (1.0 - before) / (1.0 - cumprod)
    predicts_noise = config.parameterization == "eps"
    values = {
        "betas": betas,
        "alphas_cumprod": cumprod,
        "alphas_cumprod_prev": before,
        "sqrt_alphas_cumprod": np.sqrt(cumprod),
        "sqrt_one_minus_alphas_cumprod": np.sqrt(1.0 - cumprod),
        "log_one_minus_alphas_cumprod": np.log(1.0 - cumprod),
        "sqrt_recip_alphas_cumprod": np.sqrt(1.0 / cumprod) if predicts_noise else np.zeros_like(cumprod),
        "sqrt_recipm1_alphas_cumprod": (
            np.sqrt(1.0 / cumprod - 1.0) if predicts_noise else np.zeros_like(cumprod)
        ),
        "posterior_variance": variance,
        "posterior_log_variance_clipped": np.log(np.maximum(variance, 1e-20)),
        "posterior_mean_coef1": betas * np.sqrt(before) / (1.0 - cumprod),
        "posterior_mean_coef2": (1.0 - before) * np.sqrt(alphas) / (1.0 - cumprod),
    }
    if config.base_scale is not None:
        values[SCALE] = dynamic_rescale(config)
    return {key: torch.from_numpy(value).float() for key, value in values.items()}


def _betas(config: DiffusionConfig) -> np.ndarray:
    betas = linear_betas(config)
    if not config.zero_terminal_snr:
        return betas
    cumprod = zero_terminal_snr(np.cumprod(1.0 - betas))
    return 1.0 - np.append(cumprod[0], cumprod[1:] / cumprod[:-1])
