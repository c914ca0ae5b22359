"""Comparisons on the tiny-sized network: what each choice of the implementation is worth."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from models.network.unet import UNet
from tests.bench.networks import Inputs, inputs, tiny_animator
from tests.bench.plain import contiguous_layout, einsum_attention
from tests.bench.timing import Result, compare

CONDITIONS = 3


def attention(rounds: int, side: int) -> Result:
    """scaled_dot_product_attention against attention written out."""
    unet, given = _tiny(side)
    forward = partial(_forward, unet, given)

    def plain() -> Tensor:
        with einsum_attention():
            return forward()

    return _compare("attention", "one forward pass", {"einsum": plain, "fused": forward}, rounds)


def guidance(rounds: int, side: int) -> Result:
    """Guidance with three conditions: pass after pass, as a batch, sharing what is equal."""
    unet, given = _tiny(side, CONDITIONS)
    latents, steps = given.latents, given.timesteps

    def separate() -> Tensor:
        pairs = zip(given.text.split(1), given.image.split(1), strict=True)
        return torch.cat([unet(latents, steps, text, image) for text, image in pairs])

    def batch() -> Tensor:
        copies = latents.repeat(CONDITIONS, 1, 1, 1, 1)
        return unet(copies, steps.repeat(CONDITIONS), given.text, given.image)

    def shared() -> Tensor:
        return unet(latents, steps, given.text, given.image, conditions=CONDITIONS)

    variants = {"three passes": separate, "one batch": batch, "one batch, common start once": shared}
    return _compare("guidance", "guided prediction of one step", variants, rounds)


def context_cache(rounds: int, side: int) -> Result:
    """Keys and values of the context: projected in every step for every frame, for every clip, or once."""
    unet, given = _tiny(side, CONDITIONS)
    latents, steps = given.latents, given.timesteps
    projected = unet.project(given.text, given.image)
    per_frame = given.text[:, None].expand(-1, latents.shape[2], -1, -1)
    variants = {
        "every step, text per frame": lambda: unet(
            latents, steps, per_frame, given.image, conditions=CONDITIONS
        ),
        "every step, text shared": lambda: unet(
            latents, steps, given.text, given.image, conditions=CONDITIONS
        ),
        "once": lambda: unet(latents, steps, projected, conditions=CONDITIONS),
    }
    return _compare("context-cache", "guided prediction of one step", variants, rounds)


def memory_format(rounds: int, side: int) -> Result:
    """Channels last against channels first."""
    unet, given = _tiny(side)
    forward = partial(_forward, unet, given)

    def first() -> Tensor:
        with contiguous_layout(unet):
            return forward()

    return _compare(
        "memory-format", "one forward pass", {"contiguous": first, "channels last": forward}, rounds
    )


def compiled(rounds: int, side: int) -> Result:
    """torch.compile on against off; compilation is not in the times."""
    unet, given = _tiny(side)
    faster = torch.compile(unet)
    title = "one forward pass"
    try:
        _forward(faster, given)
    except (torch._dynamo.exc.BackendCompilerFailed, torch._inductor.exc.InductorError) as error:
        reason = str(error).strip().splitlines()[0]
        return Result("compile", title, skipped=f"torch.compile does not work here: {reason}")
    variants = {"eager": partial(_forward, unet, given), "compiled": partial(_forward, faster, given)}
    return _compare("compile", title, variants, rounds)


def _tiny(side: int, conditions: int = 1) -> tuple[UNet, Inputs]:
    unet = tiny_animator(side).network.unet
    return unet, inputs(unet.config, conditions=conditions, size=(side, side))


def _forward(unet: Callable[..., Tensor], given: Inputs) -> Tensor:
    return unet(given.latents, given.timesteps, given.text, given.image)


def _compare(name: str, title: str, variants: dict[str, Callable[[], Tensor]], rounds: int) -> Result:
    with torch.no_grad():
        return compare(name, title, variants, rounds=rounds)
