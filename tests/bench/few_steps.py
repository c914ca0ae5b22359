"""Fewer or cheaper steps of sampling: how far their latents are from those of all steps, and their time."""

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from models.animate import sample_latents
from models.animator import Animator
from models.bundle import open_bundle
from models.diffusion.settings import SamplingSettings
from tests.bench.networks import tiny_animator
from tests.bench.timing import Result, Row, clock_name, stopwatch

PROMPT = "a red ball moves left"
BASELINE = "ddim, 50 steps"
VARIANTS: dict[str, dict[str, object]] = {
    BASELINE: {},
    "ddim, 25 steps": {"steps": 25},
    "ddim, 15 steps": {"steps": 15},
    "ddim, 10 steps": {"steps": 10},
    "dpmpp_2m, 25 steps": {"steps": 25, "solver": "dpmpp_2m"},
    "dpmpp_2m, 15 steps": {"steps": 15, "solver": "dpmpp_2m"},
    "dpmpp_2m, 10 steps": {"steps": 10, "solver": "dpmpp_2m"},
    "unipc, 25 steps": {"steps": 25, "solver": "unipc"},
    "unipc, 15 steps": {"steps": 15, "solver": "unipc"},
    "unipc, 10 steps": {"steps": 10, "solver": "unipc"},
    "ddim, 50 steps, interval 0 to 0.8": {"guidance_interval": (0.0, 0.8)},
    "ddim, 50 steps, interval 0.2 to 1": {"guidance_interval": (0.2, 1.0)},
    "ddim, 50 steps, guidance every 2": {"guidance_every": 2},
    "ddim, 50 steps, guidance every 4": {"guidance_every": 4},
    "ddim, 50 steps, cache every 2": {"cache_every": 2},
    "ddim, 50 steps, cache every 3": {"cache_every": 3},
    "ddim, 50 steps, cache every 5": {"cache_every": 5},
    "unipc, 25 steps, guidance every 2": {"steps": 25, "solver": "unipc", "guidance_every": 2},
    "unipc, 25 steps, both every 2": {
        "steps": 25,
        "solver": "unipc",
        "guidance_every": 2,
        "cache_every": 2,
    },
    "unipc, 15 steps, guidance every 2": {"steps": 15, "solver": "unipc", "guidance_every": 2},
}


def few_steps(bundle: Path | None, side: int, steps: int) -> list[Result]:
    """Every variant against DDIM of ``steps`` steps, and against DDIM of 50.

    Args:
        bundle: whose network and guidance are used; None takes the tiny preset's network with drawn weights,
            whose times are right and whose differences mean nothing.
        side: of the drawn network's latents.
        steps: of the reference; 1,000 are all of the schedule.
    """
    animator = tiny_animator(side) if bundle is None else open_bundle(bundle).animator()
    own = SamplingSettings(text_guidance=2.5, image_guidance=1.2)
    if bundle is not None:
        own = open_bundle(bundle, verify=False).info.sampling_defaults
    base = own.changed(steps=50, solver="ddim", eta=0.0)
    with torch.no_grad():
        _, reference = _sampled(animator, base.changed(steps=steps))
        found = {name: _sampled(animator, base.changed(**change)) for name, change in VARIANTS.items()}
    against = {f"{steps} steps of DDIM": reference, BASELINE: found[BASELINE][1]}
    return [
        Result("few-steps", f"difference: RMSE from {name}", clock_name("cpu"), list(_rows(found, wanted)))
        for name, wanted in against.items()
    ]


def _rows(found: dict[str, tuple[float, Tensor]], wanted: Tensor) -> Iterator[Row]:
    first = found[BASELINE][0]
    for name, (seconds, latents) in found.items():
        error = float((latents - wanted).square().mean().sqrt() / wanted.std())
        yield Row(name, seconds, first / seconds, error)


def _sampled(animator: Animator, settings: SamplingSettings) -> tuple[float, Tensor]:
    size = (animator.architecture.height, animator.architecture.width)
    # Smooth colours, as of a rendered scene.
    coarse = torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(2)) * 2 - 1
    picture = torch.nn.functional.interpolate(coarse, size, mode="bilinear")
    return stopwatch(lambda: sample_latents(animator, picture, [PROMPT], settings), "cpu")
