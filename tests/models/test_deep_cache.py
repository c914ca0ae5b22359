"""Deep layers whose result is reused by the passes of later steps."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from models.animate import sample_latents
from models.animator import Animator
from models.architecture import Architecture
from models.diffusion.settings import SamplingSettings
from models.network.deep_features import DeepFeatures
from models.network.unet import UNet
from tests.support.small_animator import small_animator

STEP = torch.tensor([500, 500])


@pytest.fixture
def unet(small: Architecture) -> UNet:
    torch.manual_seed(0)
    unet = UNet(small.unet).eval()
    with torch.no_grad():
        for parameter in unet.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.2)
    return unet.requires_grad_(False)


@pytest.fixture
def animator(small: Architecture) -> Animator:
    unet = small.unet.model_copy(update={"detail_guidance": True})
    return small_animator(small.model_copy(update={"unet": unet}))


def inputs(small: Architecture, conditions: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    width = small.unet.context_dim
    return (
        torch.randn(2, 4, 3, 4, 4),
        torch.randn(2 * conditions, 5, width),
        torch.randn(2 * conditions, 3, 4, width),
    )


@pytest.mark.parametrize("projected", [False, True])
@pytest.mark.parametrize("conditions", [1, 3])
def test_a_pass_with_its_own_deep_features_is_the_complete_pass(small, unet, conditions, projected):
    latents, text, image = inputs(small, conditions)
    context = (unet.project(text, image),) if projected else (text, image)
    deep = DeepFeatures()
    complete = unet(latents, STEP, *context, conditions=conditions)
    assert torch.equal(unet(latents, STEP, *context, conditions=conditions, deep=deep), complete)
    assert deep.rows is not None and len(deep.rows) == conditions * 2 * 3
    stored = deep.rows
    assert torch.equal(unet(latents, STEP, *context, conditions=conditions, deep=deep), complete)
    assert deep.rows is stored


def test_a_pass_with_other_features_computes_less_and_reads_them(small, unet):
    latents, text, image = inputs(small, 1)
    deep, other = DeepFeatures(), DeepFeatures()
    with FlopCounterMode(display=False) as complete:
        first = unet(latents, STEP, text, image, deep=deep)
    unet(latents * 2, STEP, text, image, deep=other)
    with FlopCounterMode(display=False) as shallow:
        mixed = unet(latents, STEP, text, image, deep=other)
    assert shallow.get_total_flops() < 0.8 * complete.get_total_flops()
    assert not torch.allclose(mixed, first)
    # The latents themselves are read by every pass.
    assert not torch.allclose(unet(latents + 1, STEP, text, image, deep=other), mixed)


def settings(**more) -> SamplingSettings:
    return SamplingSettings(steps=6, eta=0.0, image_guidance=1.5, text_guidance=3.0, **more)


def pictures() -> torch.Tensor:
    return torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(1)) * 2 - 1


PROMPTS = ["a red ball", "a blue star", "a cube"]


def complete_passes(animator, monkeypatch, chosen: SamplingSettings) -> tuple[list[bool], torch.Tensor]:
    complete, unet = [], animator.network.unet
    forward = unet.forward

    def counted(*args, deep=None, **kwargs):
        complete.append(deep is None or deep.rows is None)
        return forward(*args, deep=deep, **kwargs)

    monkeypatch.setattr(unet, "forward", counted)
    latents = sample_latents(animator, pictures(), PROMPTS, chosen)
    monkeypatch.undo()
    return complete, latents


def test_every_kth_step_computes_the_deep_layers(animator, monkeypatch):
    complete, found = complete_passes(animator, monkeypatch, settings(cache_every=3))
    assert complete == [True, False, False, True, False, False]
    every, plain = complete_passes(animator, monkeypatch, settings())
    assert all(every)
    assert not torch.equal(found, plain)
    assert torch.equal(sample_latents(animator, pictures(), PROMPTS, settings(cache_every=1)), plain)


def test_a_condition_without_features_makes_a_pass_complete(animator, monkeypatch):
    """With guidance every second step: it needs features of all its passes."""
    complete, latents = complete_passes(animator, monkeypatch, settings(cache_every=3, guidance_every=2))
    assert complete == [True, False, False, True, True, False]
    assert latents.isfinite().all()


def test_samples_that_leave_take_their_features_along(animator):
    chosen, seeds = settings(cache_every=4, guidance_every=2), [11, 12, 13]
    whole = sample_latents(animator, pictures(), PROMPTS, chosen, seeds=seeds)
    rest = sample_latents(
        animator,
        pictures(),
        PROMPTS,
        chosen,
        seeds=seeds,
        keep=lambda done, of: [0, 2] if done == 2 else None,
    )
    torch.testing.assert_close(rest, whole[[0, 2]], rtol=1e-3, atol=1e-4)
