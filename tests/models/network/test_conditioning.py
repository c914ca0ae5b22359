"""Text and image context: separate, per frame or shared, projected once, at any number of frames."""

import pytest
import torch

from core.errors import AnimaticError
from models.architecture import Architecture
from models.network.context import QueryTransformer, frame_indices, resample_queries
from models.network.unet import UNet

FRAMES, WIDTH = 3, 32


@pytest.fixture
def unet(small: Architecture) -> UNet:
    """With every parameter drawn: a fresh one outputs zero."""
    torch.manual_seed(0)
    unet = UNet(small.unet.model_copy(update={"learnable_gate": True})).eval()
    with torch.no_grad():
        for parameter in unet.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.2)
    return unet.requires_grad_(False)


@pytest.fixture
def inputs() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    return torch.randn(2, 4, FRAMES, 4, 4), torch.tensor([20, 700])


def test_context_shared_by_all_frames_equals_the_same_context_per_frame(unet, inputs):
    text, image = torch.randn(2, 5, WIDTH), torch.randn(2, 4, WIDTH)
    per_frame = [x[:, None].repeat(1, FRAMES, 1, 1) for x in (text, image)]
    shared = unet(*inputs, text, image)
    for given in ((per_frame[0], image), (text, per_frame[1]), per_frame):
        torch.testing.assert_close(unet(*inputs, *given), shared, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("per_frame", [False, True])
def test_every_frame_reads_its_own_context_and_every_sample_its_own(unet, inputs, per_frame):
    latents, steps = inputs
    lead = (2, FRAMES) if per_frame else (2,)
    text, image = torch.randn(*lead, 5, WIDTH), torch.randn(*lead, 4, WIDTH)
    before = unet(latents, steps, text, image, temporal=False)
    for given in (text, image):
        changed = given.clone()
        changed[(1, 2) if per_frame else 1] += 1
        pair = (changed, image) if given is text else (text, changed)
        moved = (unet(latents, steps, *pair, temporal=False) - before).abs().amax(dim=(1, 3, 4)) > 1e-4
        assert moved.tolist() == [[False] * 3, [not per_frame, not per_frame, True]]


@pytest.mark.parametrize("image_frames", [None, FRAMES])
def test_a_projected_context_gives_the_same_prediction(unet, inputs, image_frames):
    text = torch.randn(2, 5, WIDTH)
    image = torch.randn(2, *([image_frames] if image_frames else []), 4, WIDTH)
    expected = unet(*inputs, text, image)
    projected = unet.project(text, image)
    torch.testing.assert_close(unet(*inputs, projected), expected, rtol=1e-4, atol=1e-5)
    unet.middle.layer.spatial.transformer_blocks[0].attn2.to_k.weight.zero_()
    torch.testing.assert_close(unet(*inputs, projected), expected, rtol=1e-4, atol=1e-5)


def test_gradients_reach_the_context_and_its_projections(unet, inputs):
    unet.requires_grad_(True)
    text, image = torch.randn(2, 5, WIDTH), torch.randn(2, FRAMES, 4, WIDTH, requires_grad=True)
    unet(*inputs, text, image).square().mean().backward()
    assert image.grad.abs().amax(dim=(2, 3)).min() > 0
    silent = [name for name, parameter in unet.named_parameters() if not parameter.grad.abs().max() > 0]
    assert silent == []


@pytest.mark.parametrize(
    ("text", "image", "message"),
    [
        ((1, 5, WIDTH), (2, 4, WIDTH), r"text context of shape \(1, 5, 32\)"),
        ((2, 5, WIDTH + 1), (2, 4, WIDTH), r"text context of shape \(2, 5, 33\)"),
        (
            (2, 5, WIDTH),
            (2, FRAMES + 1, 4, WIDTH),
            r"image context of shape \(2, 4, 4, 32\).*\(2, 3, tokens, 32\)",
        ),
        ((2, FRAMES * 5, 5, WIDTH), (2, 4, WIDTH), r"text context of shape \(2, 15, 5, 32\)"),
        ((2, WIDTH), (2, 4, WIDTH), r"text context of shape \(2, 32\)"),
        ((2, 5, WIDTH), None, "attends to image tokens and got none"),
    ],
)
def test_context_that_does_not_fit_the_latents_is_refused(unet, inputs, text, image, message):
    with pytest.raises(AnimaticError, match=message):
        unet(*inputs, torch.zeros(text), None if image is None else torch.zeros(image))


def test_context_for_an_absent_branch_is_refused(small, unet, inputs):
    text, image = torch.zeros(2, 5, WIDTH), torch.zeros(2, 4, WIDTH)
    plain = UNet(small.unet.model_copy(update={"image_cross_attention": False}))
    with pytest.raises(AnimaticError, match="not in this network"):
        plain(*inputs, text, image)
    with pytest.raises(AnimaticError, match="switched off"):
        unet(*inputs, text, image, image_attention=False)
    projected = unet.project(text, torch.zeros(2, FRAMES, 4, WIDTH))
    with pytest.raises(AnimaticError, match="leave image out"):
        unet(*inputs, projected, image)
    with pytest.raises(AnimaticError, match="2 samples of 3 frames, the latents are of 2 samples of 2"):
        unet(inputs[0][:, :, :2], inputs[1], projected)


@pytest.mark.parametrize("frames", [1, 2, 5])
def test_the_network_takes_any_number_of_frames(small, unet, frames):
    context = QueryTransformer(small.context).eval()
    image = context(torch.randn(2, 7, 24), frames)
    assert image.shape == (2, frames, 4, WIDTH)
    latents = torch.randn(2, 4, frames, 4, 4)
    assert unet(latents, torch.tensor([20, 700]), torch.randn(2, 5, WIDTH), image).shape == latents.shape


def test_frames_use_the_query_set_nearest_in_time():
    assert frame_indices(16, 8) == [0, 2, 4, 6, 9, 11, 13, 15]
    assert frame_indices(16, 16) == list(range(16))
    assert frame_indices(16, 32) == [i // 2 for i in range(32)]
    for sets, frames in [(16, 24), (16, 1), (1, 8), (3, 100)]:
        indices = frame_indices(sets, frames)
        assert len(indices) == frames and indices == sorted(indices)
        assert indices[0] == 0 and (frames == 1 or indices[-1] == sets - 1)
    with pytest.raises(AnimaticError, match="must be positive"):
        frame_indices(16, 0)


def test_context_of_another_length_is_the_trained_one_frame_by_frame(small):
    torch.manual_seed(0)
    context = QueryTransformer(small.context).eval()
    tokens = torch.randn(2, 7, 24)
    trained, longer = context(tokens), context(tokens, 5)
    for frame, chosen in enumerate(frame_indices(3, 5)):
        assert torch.equal(longer[:, frame], trained[:, chosen])
    assert torch.equal(context(tokens, 3), trained)


def test_queries_are_transferred_by_the_same_rule():
    latents = torch.arange(3 * 4).float().view(1, 12, 1)
    assert torch.equal(resample_queries(latents, 4, 3), latents)
    assert resample_queries(latents, 4, 2).flatten().tolist() == [0, 1, 2, 3, 8, 9, 10, 11]
    assert resample_queries(latents[:, :4], 4, 3).flatten().tolist() == [0, 1, 2, 3] * 3
    with pytest.raises(AnimaticError, match="whole number of sets of 5"):
        resample_queries(latents, 5, 3)


@pytest.mark.parametrize("attention_resolutions", [(2, 1), (2,)])
def test_several_conditions_of_one_sample_equal_as_many_samples(small, inputs, attention_resolutions):
    torch.manual_seed(0)
    config = small.unet.model_copy(update={"attention_resolutions": attention_resolutions})
    unet = UNet(config).eval().requires_grad_(False)
    for parameter in unet.parameters():
        parameter.copy_(torch.randn_like(parameter) * 0.2)
    text, image, fps = torch.randn(6, 5, WIDTH), torch.randn(6, FRAMES, 4, WIDTH), torch.tensor([3.0, 9.0])
    latents, steps = inputs
    expected = unet(latents.repeat(3, 1, 1, 1, 1), steps.repeat(3), text, image, fps.repeat(3))
    torch.testing.assert_close(unet(*inputs, text, image, fps, conditions=3), expected, rtol=1e-4, atol=1e-5)
    projected = unet.project(text, image)
    torch.testing.assert_close(
        unet(*inputs, projected, fps=fps, conditions=3), expected, rtol=1e-4, atol=1e-5
    )
