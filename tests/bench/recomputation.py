"""Activation checkpointing: time of forward and backward pass, and the memory that activations take."""

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import get_args

from torch import Tensor

from models.network.activation_checkpointing import checkpoint_activations
from models.network.settings import ActivationCheckpointing
from models.network.unet import UNet
from orchestration.planner.live_memory import LiveMemory, weights_and_buffers
from tests.bench.networks import Inputs, inputs, tiny_animator
from tests.bench.timing import MIB, Result, compare


def recomputation(rounds: int, side: int) -> Result:
    """none, selective and full; every variant returns the gradient of the first convolution."""
    base = tiny_animator(side).network.unet
    given = inputs(base.config, size=(side, side))
    variants: dict[str, Callable[[], Tensor]] = {}
    peaks: dict[str, float] = {}
    for scope in get_args(ActivationCheckpointing):
        unet = copy.deepcopy(base).requires_grad_(True)
        checkpoint_activations(unet, scope)
        variants[scope] = lambda unet=unet: backward(unet, given)
        peaks[scope] = peak_mib(unet, given)
    result = compare("recompute", "forward and backward pass", variants, rounds=rounds)
    return replace(result, rows=[replace(row, peak_mib=peaks[row.variant]) for row in result.rows])


def backward(unet: UNet, given: Inputs) -> Tensor:
    """Gradient of the first convolution's weights for a fixed loss."""
    unet.zero_grad(set_to_none=True)
    unet(given.latents, given.timesteps, given.text, given.image).float().square().mean().backward()
    return unet.conv_in.weight.grad


def peak_mib(unet: UNet, given: Inputs) -> float:
    """Most memory of a training pass besides weights, in MiB: activations, gradients and temporaries."""
    unet.zero_grad(set_to_none=True)
    with LiveMemory(weights_and_buffers(unet)) as memory:
        backward(unet, given)
    return memory.peak / MIB
