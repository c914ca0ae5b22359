"""The published sizes on a GPU, bf16 weights drawn at random: sampling, training pass, memory, TFLOP/s."""

import gc
import math
import statistics
from collections.abc import Callable
from functools import partial
from typing import get_args

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from models.diffusion.sampler import sample
from models.diffusion.schedule import Diffusion
from models.diffusion.settings import SamplingSettings
from models.network.activation_checkpointing import checkpoint_activations
from models.network.settings import ActivationCheckpointing
from models.network.unet import UNet
from tests.bench.networks import Inputs, draw_weights, inputs
from tests.bench.timing import MIB, Result, Row, clock_name, stopwatch
from training.config import RunConfig, resolve

PRESETS = ("256", "512", "1024")


def full_size(rounds: int, steps: int) -> list[Result]:
    """A table per published size; skipped without a GPU."""
    if not torch.cuda.is_available():
        return [Result("full-size", "published sizes, bf16", skipped="no CUDA device")]
    return [measure(preset, resolve(3, preset), "cuda", rounds, steps) for preset in PRESETS]


def measure(name: str, config: RunConfig, device: str, rounds: int, steps: int) -> Result:
    """Sampling and training pass of one network; the speed-up column is against the first row of its kind."""
    unet = drawn_network(config, device)
    given = on_device(inputs(unet.config, conditions=2, size=config.model.latent_size), device)
    rows = [
        _row(f"sampling, {steps} steps, guided", lambda: _sample(unet, config, given, steps), rounds, device)
    ]
    one = Inputs(given.latents, given.timesteps, given.text[:1], given.image[:1])
    base: float | None = None
    work = None
    for scope in get_args(ActivationCheckpointing):
        del unet, work  # before the next is built: both would count as memory
        gc.collect()  # what a pass that ran out of memory has left
        if device == "cuda":
            torch.cuda.empty_cache()
        unet = drawn_network(config, device).train()
        checkpoint_activations(unet, scope)
        work = partial(train, unet, one)
        row = _row(f"forward and backward, recompute {scope}", work, rounds, device, base)
        if base is None and math.isfinite(row.seconds):
            base = row.seconds
        rows.append(row)
    return Result(f"full-size-{name}", f"preset {name}, batch 1 of 16 frames, bf16", clock_name(device), rows)


def drawn_network(config: RunConfig, device: str) -> UNet:
    """A network of drawn weights in bf16, in evaluation mode."""
    with torch.device(device):
        unet = UNet(config.model.unet)
    draw_weights(unet)
    return unet.to(torch.bfloat16).eval()


def _row(
    variant: str, work: Callable[[], Tensor], rounds: int, device: str, base: float | None = None
) -> Row:
    try:
        with FlopCounterMode(display=False) as counter:
            work()
    except torch.OutOfMemoryError:
        return Row(f"{variant}: out of memory", math.nan, math.nan)
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    seconds = statistics.median(stopwatch(work, device)[0] for _ in range(rounds))
    peak = torch.cuda.max_memory_allocated() / MIB if device == "cuda" else None
    rate = counter.get_total_flops() / seconds / 1e12
    return Row(variant, seconds, base / seconds if base else 1.0, peak_mib=peak, tflops=rate)


@torch.no_grad()
def _sample(unet: UNet, config: RunConfig, given: Inputs, steps: int) -> Tensor:
    """Latents of a clip under text-and-image guidance, without encoders and decoder."""
    noise, condition = given.latents.chunk(2, dim=1)
    projected = unet.project(given.text, given.image)

    def denoise(latents: Tensor, timestep: Tensor, names: object) -> list[Tensor]:
        stacked = torch.cat([latents, condition], dim=1)
        return list(unet(stacked, timestep, projected, conditions=2).float().chunk(2))

    settings = SamplingSettings(steps=steps, eta=0.0)
    diffusion = Diffusion(config.model.diffusion).to(noise.device)
    return sample(diffusion, denoise, noise, settings)


def train(unet: UNet, given: Inputs) -> Tensor:
    """The loss of a forward and backward pass."""
    unet.zero_grad(set_to_none=True)
    loss = unet(given.latents, given.timesteps, given.text, given.image).float().square().mean()
    loss.backward()
    return loss.detach()


def on_device(given: Inputs, device: str) -> Inputs:
    """Inputs on a device."""
    return Inputs(
        given.latents.to(device), given.timesteps.to(device), given.text.to(device), given.image.to(device)
    )
