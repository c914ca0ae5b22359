"""Where a forward and a backward pass spend their time, by kind of operation."""

import re
import statistics
from collections.abc import Callable

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from models.architecture import UNetConfig
from models.network.unet import UNet
from tests.bench.networks import draw_weights, inputs
from tests.bench.timing import Result, Row

# 45 M parameters: wide enough that products dominate, as at the published sizes.
CONFIG = UNetConfig(
    detail_guidance=True,
    model_channels=96,
    channel_mult=(1, 2, 3),
    num_res_blocks=1,
    num_head_channels=32,
    context_dim=256,
    dropout=0.0,
)
# Of the operation's name; the first that fits.
KINDS = {
    "attention": "attention",
    "convolutions": "convolution",
    "matrix products": r"::(add)?mm$|::bmm",
    "normalisations": "norm",
    "gated feed-forwards": r"gelu|::mul$|::cat$",
    "copies and changes of layout": "copy_|clone|contiguous",
}
OTHER = "other"


def operations(rounds: int) -> list[Result]:
    """Median seconds of each kind of operation in the forward and in the backward pass of :data:`CONFIG`."""
    torch.manual_seed(0)
    unet = UNet(CONFIG)
    draw_weights(unet)
    given = inputs(CONFIG)

    def forward() -> Tensor:
        return unet(given.latents, given.timesteps, given.text, given.image).float().square().mean()

    forward().backward()
    passes: dict[str, list[dict[str, float]]] = {"forward pass": [], "backward pass": []}
    for _ in range(rounds):
        passes["forward pass"].append(_seconds(forward))
        passes["backward pass"].append(_seconds(forward().backward))
    return [
        Result("operations", title, "seconds, profiled", [_row(kind, found) for kind in (*KINDS, OTHER)])
        for title, found in passes.items()
    ]


def _seconds(work: Callable[[], Tensor | None]) -> dict[str, float]:
    """Seconds that the operations of each kind took themselves, without those that they called."""
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        work()
    spent = dict.fromkeys((*KINDS, OTHER), 0.0)
    for event in profiled.key_averages():
        kind = next((kind for kind, name in KINDS.items() if re.search(name, event.key)), OTHER)
        spent[kind] += event.self_cpu_time_total / 1e6
    return spent


def _row(kind: str, found: list[dict[str, float]]) -> Row:
    return Row(kind, statistics.median(spent[kind] for spent in found))
