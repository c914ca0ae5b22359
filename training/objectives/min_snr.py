"""Weights of the loss by diffusion step: min-SNR-γ (arXiv:2303.09556)."""

import torch
from torch import Tensor

from core.errors import AnimaticError
from models.architecture import DiffusionConfig
from models.diffusion.schedule import signal_to_noise


def min_snr_weights(diffusion: DiffusionConfig, gamma: float) -> Tensor:
    """The weight of each diffusion step's error, (timesteps) float32 on the CPU, in [0, 1].

    min(SNR, γ) of the error of the clean latents (section 3.4), which is min(SNR, γ) / SNR of that of the
    noise, and min(SNR, γ) / (SNR + 1) of that of v. The SNR is that of the schedule as latents are diffused.

    Raises AnimaticError where the network predicts noise and a step has no signal: the weight is undefined.
    """
    snr = signal_to_noise(diffusion)
    if diffusion.parameterization == "v":
        return torch.tensor(snr.clip(max=gamma) / (snr + 1)).float()
    if not snr.all():
        raise AnimaticError(
            "objective.min_snr_gamma: a step of model.diffusion has no signal, for which the weight of the "
            "noise's error is undefined: set model.diffusion.parameterization=v, or leave min_snr_gamma out"
        )
    return torch.tensor(snr.clip(max=gamma) / snr).float()
