"""Noise schedule, forward process and training target.

Schedules are functions of the configuration alone: they are never stored in or loaded from a checkpoint.
"""

import numpy as np
import torch
from torch import Tensor, nn

from models.architecture import DiffusionConfig

RESCALE_STEPS = 400


def linear_betas(config: DiffusionConfig) -> np.ndarray:
    """Variances (timesteps) float64 whose roots rise linearly, before any zero terminal SNR."""
    start, end = np.sqrt(config.linear_start), np.sqrt(config.linear_end)
    return np.linspace(start, end, config.timesteps, dtype=np.float64) ** 2


def zero_terminal_snr(alphas_cumprod: np.ndarray) -> np.ndarray:
    """Shift and scale sqrt(alphas_cumprod): no signal at the last step (arXiv:2305.08891, algorithm 1)."""
    root = np.sqrt(alphas_cumprod)
    first, last = root[0], root[-1]
    return ((root - last) * first / (first - last)) ** 2


def dynamic_rescale(config: DiffusionConfig) -> np.ndarray:
    """Factors (timesteps + 400) float64 on x_0, falling to ``base_scale``; ones without one.

    The published array counts its ramp twice: only the first ``timesteps`` factors are used.
    """
    if config.base_scale is None:
        return np.ones(config.timesteps + RESCALE_STEPS)
    ramp = np.linspace(1.0, config.base_scale, RESCALE_STEPS)
    return np.append(ramp, np.full(config.timesteps, config.base_scale))


def final_alphas_cumprod(config: DiffusionConfig) -> np.ndarray:
    """alphas_cumprod (timesteps) float64, after any zero terminal SNR."""
    alphas_cumprod = np.cumprod(1.0 - linear_betas(config))
    return zero_terminal_snr(alphas_cumprod) if config.zero_terminal_snr else alphas_cumprod


def signal_to_noise(config: DiffusionConfig) -> np.ndarray:
    """The ratio of signal to noise at each step as latents are diffused, (timesteps) float64.

    scale² · a / (1 - a): after any zero terminal SNR, at which the last is 0, and any dynamic rescale.
    """
    alphas_cumprod, scale = final_alphas_cumprod(config), dynamic_rescale(config)[: config.timesteps]
    return scale**2 * alphas_cumprod / (1 - alphas_cumprod)


class Diffusion(nn.Module):
    """The forward process q(x_t | x_0) and what the network learns to predict.

    Attributes:
        alphas_cumprod: (timesteps) float32.
        signal_scale: (timesteps) factor on x_0 (dynamic rescale; ones where it is off).
    """

    alphas_cumprod: Tensor
    signal_scale: Tensor

    def __init__(self, config: DiffusionConfig) -> None:
        super().__init__()
        self.config = config
        alphas_cumprod = final_alphas_cumprod(config)
        scale = dynamic_rescale(config)[: config.timesteps]
        self.register_buffer("alphas_cumprod", torch.tensor(alphas_cumprod).float(), persistent=False)
        self.register_buffer("signal_scale", torch.tensor(scale).float(), persistent=False)

    def diffuse(self, clean: Tensor, noise: Tensor, timesteps: Tensor) -> tuple[Tensor, Tensor]:
        """Diffuse ``clean`` to ``timesteps``.

        Args:
            clean, noise: (b ...) latents.
            timesteps: (b) int64.

        Returns:
            The noisy latents and the target: the noise (eps), or v = sqrt(a)·noise - sqrt(1-a)·clean
            (arXiv:2202.00512), with the dynamic rescale applied to ``clean`` first.
        """
        clean = clean * self._at(self.signal_scale, timesteps, clean)
        alpha = self._at(self.alphas_cumprod, timesteps, clean)
        signal, sigma = alpha.sqrt(), (1 - alpha).sqrt()
        noisy = signal * clean + sigma * noise
        target = noise if self.config.parameterization == "eps" else signal * noise - sigma * clean
        return noisy, target

    def split(self, prediction: Tensor, noisy: Tensor, timestep: int) -> tuple[Tensor, Tensor]:
        """The clean latents and the noise that a prediction at one timestep implies, each like ``noisy``."""
        return self._split(prediction, noisy, self.alphas_cumprod[timestep])

    def split_each(self, prediction: Tensor, noisy: Tensor, timesteps: Tensor) -> tuple[Tensor, Tensor]:
        """As :meth:`split`, each sample at its own timestep, (b) int64."""
        return self._split(prediction, noisy, self._at(self.alphas_cumprod, timesteps, noisy))

    def _split(self, prediction: Tensor, noisy: Tensor, alpha: Tensor) -> tuple[Tensor, Tensor]:
        signal, sigma = alpha.sqrt(), (1 - alpha).sqrt()
        if self.config.parameterization == "eps":
            return (noisy - sigma * prediction) / signal, prediction
        return signal * noisy - sigma * prediction, signal * prediction + sigma * noisy

    @staticmethod
    def _at(table: Tensor, timesteps: Tensor, like: Tensor) -> Tensor:
        return table[timesteps].view(-1, *[1] * (like.dim() - 1))
