"""The network is the published one: its size, its layout, its starting point."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from core.errors import AnimaticError
from models.architecture import Architecture, ContextConfig, UNetConfig
from models.network import parameter_names
from models.network.attention import FeedForward, attend
from models.network.context import QueryTransformer, resample_queries
from models.network.network import Network
from models.network.parameter_names import (
    internal_state,
    is_image_attention,
    is_temporal,
    public_state,
    unet_public_names,
)
from models.network.unet import UNet

# Parameter counts of the published checkpoints.
UNET_512, UNET_256 = 1_438_854_980, 1_438_854_996
TEMPORAL = 266_891_520 + 278_431_616
IMAGE_ATTENTION = 25_559_040
STABLE_DIFFUSION_2_1 = 865_910_724
QUERY_TRANSFORMER = 48_787_456


def count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_full_size_networks_have_the_published_number_of_parameters():
    with torch.device("meta"):
        wide = UNet(UNetConfig(detail_guidance=True))
        gated = UNet(UNetConfig(detail_guidance=True, learnable_gate=True))
        image = UNet(UNetConfig(temporal=False, image_cross_attention=False, fps_condition=False))
        context = QueryTransformer(ContextConfig())
    assert (count(wide), count(gated)) == (UNET_512, UNET_256)
    assert count(image) == STABLE_DIFFUSION_2_1
    assert count(context) == QUERY_TRANSFORMER
    named = dict(wide.named_parameters())
    assert sum(p.numel() for name, p in named.items() if is_temporal(name)) == TEMPORAL
    assert sum(p.numel() for name, p in named.items() if is_image_attention(name)) == IMAGE_ATTENTION


@pytest.mark.parametrize(
    ("temporal", "key"),
    [(True, "output_blocks.5.3.conv.weight"), (False, "output_blocks.5.2.conv.weight")],
)
def test_the_public_index_of_upsampling_depends_on_temporal_layers(temporal, key):
    with torch.device("meta"):
        unet = UNet(UNetConfig(temporal=temporal))
    names = unet_public_names(unet)
    assert names["decoder.5.upsample.conv.weight"] == f"model.diffusion_model.{key}"
    assert len(set(names.values())) == len(names)


def test_image_and_video_networks_share_internal_names():
    with torch.device("meta"):
        video = {name for name, _ in UNet(UNetConfig()).named_parameters()}
        image = {name for name, _ in UNet(UNetConfig(temporal=False)).named_parameters()}
    assert image == {name for name in video if not is_temporal(name)}


def test_weights_survive_a_round_trip_through_public_names(small: Architecture):
    first, second = Network(small), Network(small)
    parameter_names.load(second, public_state(first))
    parameters = dict(first.named_parameters())
    for name, value in second.named_parameters():
        assert torch.equal(value, parameters[name]), name
    assert set(internal_state(small, public_state(first))) == set(parameters)


def test_weights_that_do_not_fit_are_listed_by_kind(small: Architecture):
    network = Network(small)
    state = public_state(network)
    state["model.diffusion_model.out.2.bias"] = torch.zeros(3)
    state["model.diffusion_model.stray"] = torch.zeros(1)
    del state["image_proj_model.latents"]
    with pytest.raises(AnimaticError) as caught:
        parameter_names.load(network, state)
    message = str(caught.value)
    assert "missing image_proj_model.latents" in message
    assert "unexpected model.diffusion_model.stray" in message
    assert "out.2.bias is (3,), not (4,)" in message


def test_image_branch_switched_off_equals_a_network_without_one(small: Architecture):
    torch.manual_seed(0)
    unet = UNet(small.unet)
    randomise(unet)
    plain = UNet(small.unet.model_copy(update={"image_cross_attention": False}))
    plain.load_state_dict(unet.state_dict(), strict=False)
    latents, text = torch.randn(2, 4, 3, 4, 4), torch.randn(2, 5, 32)
    steps = torch.tensor([1, 500])
    off = unet(latents, steps, text, image_attention=False)
    torch.testing.assert_close(off, plain(latents, steps, text))


def test_temporal_layers_left_out_make_frames_independent(small: Architecture):
    torch.manual_seed(0)
    unet = UNet(small.unet).eval()
    randomise(unet)
    latents, text, steps = torch.randn(1, 4, 3, 4, 4), torch.randn(1, 5, 32), torch.tensor([300])
    image = torch.randn(1, 4, 32)
    together = unet(latents, steps, text, image, temporal=False)
    alone = unet(latents[:, :, 1:2], steps, text, image, temporal=False)
    torch.testing.assert_close(together[:, :, 1:2], alone, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(unet(latents, steps, text, image)[:, :, 1:2], alone, atol=1e-3)


def test_repeated_queries_give_every_frame_the_same_context():
    torch.manual_seed(0)
    config = ContextConfig(
        dim=32, depth=1, heads=2, dim_head=16, queries=4, frames=None, image_dim=24, context_dim=32
    )
    image = QueryTransformer(config).eval()
    video = QueryTransformer(config.model_copy(update={"frames": 3})).eval()
    state = image.state_dict()
    state["latents"] = resample_queries(state["latents"], config.queries, 3)
    video.load_state_dict(state)
    out = video(torch.randn(2, 7, 24))
    assert out.shape == (2, 3, 4, 32)
    torch.testing.assert_close(out[:, 0], out[:, 2])
    assert out[:, 0].std() > 0.1


def test_a_query_transformer_for_the_class_token_reads_no_other():
    torch.manual_seed(0)
    config = ContextConfig(
        dim=32, depth=1, heads=2, dim_head=16, queries=4, frames=2, image_dim=24, context_dim=32
    )
    every = QueryTransformer(config).eval()
    one = QueryTransformer(config.model_copy(update={"tokens": "class"})).eval()
    one.load_state_dict(every.state_dict())
    tokens = torch.randn(1, 7, 24)
    others_changed = torch.cat([tokens[:, :1], torch.randn(1, 6, 24)], dim=1)
    with torch.no_grad():
        assert torch.equal(one(tokens), one(others_changed))
        assert torch.equal(one(tokens), every(tokens[:, :1]))
        assert not torch.allclose(every(tokens), every(others_changed))
        assert not torch.allclose(one(tokens), one(-tokens))


def randomise(module: torch.nn.Module) -> None:
    """A fresh UNet outputs zero: give every parameter a value."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.2)


def test_a_feed_forward_in_parts_equals_the_whole():
    torch.manual_seed(0)
    layer, x = FeedForward(64), torch.randn(3, 1000, 64)
    with torch.no_grad():
        in_parts = layer(x)
    torch.testing.assert_close(in_parts, layer(x).detach(), rtol=1e-4, atol=1e-5)


def test_attention_over_more_rows_than_the_gpus_kernels_take_is_computed_in_parts(monkeypatch):
    sizes = []
    attention = torch.nn.functional.scaled_dot_product_attention

    def counting(query, key, value):
        sizes.append(query.shape[0])
        return attention(query, key, value)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", counting)
    torch.manual_seed(0)
    query, key, value = torch.randn(3, 70_000, 3, 4, requires_grad=True).unbind(0)
    whole = attend(query, key, value, 2)
    assert sizes == [65_535, 4_465]
    halves = [
        attend(*(x[rows] for x in (query, key, value)), 2) for rows in (slice(35_000), slice(35_000, None))
    ]
    torch.testing.assert_close(whole, torch.cat(halves), rtol=1e-5, atol=1e-6)
    gradients = [torch.autograd.grad(out.square().sum(), value)[0] for out in (whole, torch.cat(halves))]
    torch.testing.assert_close(*gradients, rtol=1e-5, atol=1e-6)


def test_the_network_runs_without_weights_to_count_its_work():
    with torch.device("meta"):
        unet = UNet(UNetConfig(detail_guidance=True)).requires_grad_(False)
        latents, text, image = (
            torch.empty(shape) for shape in ((1, 8, 16, 32, 32), (1, 77, 1024), (1, 16, 16, 1024))
        )
        with FlopCounterMode(display=False) as counter:
            unet(latents, torch.zeros(1), text, image)
    # 4.90 TFLOP with the text projected again for every frame.
    assert 4.8e12 < counter.get_total_flops() < 4.9e12
