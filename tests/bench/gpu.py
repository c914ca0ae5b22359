"""What our implementation is worth on a GPU: against the published network's structure, in one run.

Our modules compute the published structure with the same weights: channels first, temporal convolutions in
3-D, a pass for each condition with the text repeated for every frame, keys and values in each pass.
"""

import statistics
from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from models.network.compilation import compile_blocks, compile_for_sampling
from models.network.unet import UNet
from tests.bench.full_size import drawn_network, on_device, train
from tests.bench.networks import Inputs, inputs
from tests.bench.plain import einsum_attention, published_structure
from tests.bench.sampling import over_time_tokens
from tests.bench.timing import MIB, Result, Row, clock_name, difference, stopwatch
from training.config import RunConfig, resolve

PRESETS = ("256", "512")
CONDITIONS = 3
NORM_SHAPE = (16, 320, 40, 64)
# TFLOP/s of dense products in bf16 by NVIDIA's data sheets; by a part of the device's name.
PEAKS = {"H100": 989.0, "H200": 989.0, "A100": 312.0, "L40S": 362.0}

Work = Callable[[], Tensor]


def gpu(rounds: int) -> list[Result]:
    """Norms in both layouts; passes and sampling steps of the published sizes. Skipped without a GPU."""
    if not torch.cuda.is_available():
        return [Result("gpu", "against the published structure, bf16", skipped="no CUDA device")]
    results = [norms("cuda", rounds, NORM_SHAPE)]
    for preset in PRESETS:
        config = resolve(3, preset)
        results += [training(preset, config, "cuda", rounds), sampling(preset, config, "cuda", rounds)]
    return results


def norms(device: str, rounds: int, shape: tuple[int, ...]) -> Result:
    """torch's GroupNorm with SiLU, both passes, and whether its kernel leaves channels last."""
    norm = nn.GroupNorm(32, shape[1]).to(device)
    first = torch.randn(shape, device=device)
    last = first.contiguous(memory_format=torch.channels_last)

    def run(x: Tensor) -> Tensor:
        given = x.detach().requires_grad_()
        result = nn.functional.silu(norm(given))
        result.sum().backward()
        return result.detach()

    works = {"channels first": partial(run, first), "channels last": partial(run, last)}
    rows, _ = _measured(works, device, rounds)
    kept = norm(last).is_contiguous(memory_format=torch.channels_last)
    layout = f"channels that are last {'stay' if kept else 'become first'}"
    title = f"GroupNorm and SiLU, both passes, {shape}: {layout}"
    return Result("gpu-norms", title, clock_name(device), rows)


def training(name: str, config: RunConfig, device: str, rounds: int, backend: str = "inductor") -> Result:
    """Forward and backward pass of one clip, nothing recomputed."""
    unet = drawn_network(config, device).train()
    given = on_device(inputs(unet.config, size=config.model.latent_size), device)
    ours = partial(_gradient, unet, given)
    flops = _flops(ours)
    works: dict[str, Work] = {**_published(unet, ours), "ours": ours}
    rows, reference = _measured(works, device, rounds, flops)
    compile_blocks(unet, backend)
    rows += _measured({"ours, compiled": ours}, device, rounds, flops, reference)[0]
    return Result(f"gpu-training-{name}", _title(name, "forward and backward pass"), clock_name(device), rows)


@torch.no_grad()
def sampling(name: str, config: RunConfig, device: str, rounds: int, backend: str = "inductor") -> Result:
    """A step of sampling guided by text and image."""
    unet = drawn_network(config, device)
    given = on_device(inputs(unet.config, conditions=CONDITIONS, size=config.model.latent_size), device)
    projected = unet.project(given.text, given.image)

    def ours() -> Tensor:
        return unet(given.latents, given.timesteps, projected, conditions=CONDITIONS)

    works: dict[str, Work] = {**_published(unet, partial(_three_passes, unet, given)), "ours": ours}
    flops = _flops(ours)
    rows, reference = _measured(works, device, rounds, flops)
    for compilation in ("blocks", "graphs"):
        compile_for_sampling(unet, compilation, backend)
        rows += _measured({f"ours, compiled: {compilation}": ours}, device, rounds, flops, reference)[0]
    return Result(f"gpu-sampling-{name}", _title(name, "one guided step"), clock_name(device), rows)


def _published(unet: UNet, work: Work) -> dict[str, Work]:
    def fused() -> Tensor:
        with published_structure(unet):
            return work()

    def written_out() -> Tensor:
        with einsum_attention():
            return fused()

    return {"published structure, fused attention": fused, "published structure": written_out}


def _gradient(unet: UNet, given: Inputs) -> Tensor:
    """Of the first weights, after a forward and a backward pass."""
    train(unet, given)
    gradient = unet.conv_in.weight.grad
    assert gradient is not None
    return gradient.clone()


def _three_passes(unet: UNet, given: Inputs) -> Tensor:
    frames = given.latents.shape[2]
    contexts = zip(given.text.split(1), given.image.split(1), strict=True)
    return torch.cat(
        [
            unet(given.latents, given.timesteps, over_time_tokens(text, frames), image)
            for text, image in contexts
        ]
    )


def _flops(work: Work) -> int:
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


def _measured(
    works: Mapping[str, Work],
    device: str,
    rounds: int,
    flops: int | None = None,
    reference: tuple[float, Tensor] | None = None,
) -> tuple[list[Row], tuple[float, Tensor]]:
    """Rows of works that run alternately, after one round that warms up, and (seconds, result) of the first.

    ``reference``: what speed-up and difference are against, in place of the first of ``works``. Results in
    bf16 differ by rounding, which is reported and no error.
    """
    seconds: dict[str, list[float]] = {variant: [] for variant in works}
    results, peaks = dict[str, Tensor](), dict[str, float]()
    for number in range(-1, rounds):
        for variant, work in works.items():
            if device == "cuda":
                torch.cuda.reset_peak_memory_stats()
            spent, results[variant] = stopwatch(work, device)
            if number >= 0:
                seconds[variant].append(spent)
            if device == "cuda":
                peaks[variant] = torch.cuda.max_memory_allocated() / MIB
    medians = {variant: statistics.median(spent) for variant, spent in seconds.items()}
    first = next(iter(works))
    base, expected = reference or (medians[first], results[first].clone())
    rows = [
        Row(
            variant,
            median,
            base / median,
            difference(results[variant], expected),
            peaks.get(variant),
            None if flops is None else flops / median / 1e12,
        )
        for variant, median in medians.items()
    ]
    return rows, (base, expected)


def _title(name: str, what: str) -> str:
    """With the peak of the GPU, of which a rate is the share that is called MFU."""
    found = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    peak = next((f", peak {peak:.0f} TFLOP/s" for part, peak in PEAKS.items() if part in found), "")
    return f"preset {name}, 1 clip of 16 frames, bf16: {what}; {found}{peak}"
