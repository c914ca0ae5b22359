"""The counted arithmetic of a step, against counts by hand, a plain network, and the published sizes."""

from functools import cache
from unittest.mock import patch

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from models.animator import Animator
from models.network.network import network_on_meta
from tests.bench.plain import einsum_attend, einsum_attention
from tests.support.small_animator import small_architecture
from tests.support.training_jobs import SyntheticSource, small_config
from training.config import resolve
from training.observe.flops import ClipShape, StepFlops, image_tokens, network_flops

SMALL = ClipShape(3, 4, 4)


def all_names(architecture) -> list[str]:
    return [name for name, _ in network_on_meta(architecture).named_parameters()]


@cache
def forward_flops() -> float:
    return network_flops(small_architecture(), [], SMALL)


def test_the_last_layer_alone_costs_the_gradients_of_its_weights():
    with_last = network_flops(small_architecture(), ["unet.conv_out.weight"], SMALL)
    # 3 frames of 4x4 cells, 9 taps from 16 channels to 4, a multiplication and an addition each.
    assert with_last - forward_flops() == 2 * 3 * 4 * 4 * 9 * 16 * 4


def test_layers_behind_a_trained_one_cost_the_gradients_of_their_inputs_and_not_of_their_weights():
    small = small_architecture()
    everything = network_flops(small, all_names(small), SMALL)
    first = network_flops(small, ["unet.conv_in.weight"], SMALL)
    # All gradients of inputs are as many operations as the forward pass, all gradients of weights again.
    assert forward_flops() < first < everything < 3 * forward_flops()
    assert first < 2 * forward_flops()


def test_a_step_costs_what_the_plain_network_computes_on_real_clips():
    config = small_config(1)
    model = config.model
    animator = Animator(model)
    batch = SyntheticSource(config).samples([0])
    shape = ClipShape.of(batch, model.codec.patch, temporal=True)
    tokens = animator.encoders.image(torch.zeros(1, 3, model.height, model.width))
    assert tokens.shape[1] == image_tokens(model.encoders)
    latents = torch.zeros(1, model.unet.in_channels, shape.frames, shape.height, shape.width)
    text = animator.encoders.text(batch.captions)
    with (
        einsum_attention(),
        patch("models.network.context.attend", einsum_attend),
        FlopCounterMode(display=False) as counter,
    ):
        context = animator.network.context
        image = None if context is None else context(tokens, shape.frames)
        animator.network.unet(latents, torch.zeros(1), text, image, batch.fps).sum().backward()
    assert StepFlops(model, all_names(model)).of(shape) == counter.get_total_flops()


def test_without_temporal_layers_a_step_costs_less():
    without = network_flops(small_architecture(), [], SMALL._replace(temporal=False))
    assert without < forward_flops()


def test_shapes_are_those_of_latents_stored_or_to_be_encoded():
    config = small_config(1)
    batch = SyntheticSource(config).samples([0, 1])
    frames = config.data.sampling.frames if not config.data.sampling.images_only else 1
    assert ClipShape.of(batch, 8, temporal=False) == (frames, 8, 8, False)


@pytest.mark.slow
@pytest.mark.parametrize(("preset", "tflop"), [("256", 4.87), ("512", 12.57), ("1024", 52.3)])
def test_the_published_sizes_train_at_three_times_their_forward_pass(preset, tflop):
    model = resolve(3, preset).model
    shape = ClipShape(model.frames, *model.latent_size)
    forward, step = (network_flops(model, names, shape) for names in ([], all_names(model)))
    assert forward == pytest.approx(tflop * 1e12, rel=0.005)
    # The first layers need no gradients of their inputs.
    assert 2.99 * forward < step < 3 * forward
