"""The assembled model: conditions, loss and animation."""

from dataclasses import replace

import pytest
import torch

from core.errors import AnimaticError
from models.animator import Animator
from models.architecture import Architecture, CodecConfig
from models.batch import Batch
from models.diffusion.sampler import SamplingSettings
from models.encoders.clip import ClipEncoders, preprocess
from models.encoders.codec import build_codec


@pytest.fixture
def animator(small: Architecture) -> Animator:
    unet = small.unet.model_copy(update={"detail_guidance": True})
    torch.manual_seed(0)
    animator = Animator(small.model_copy(update={"unet": unet})).eval()
    with torch.no_grad():
        for parameter in animator.trainable_candidates().values():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return animator


@pytest.fixture
def batch() -> Batch:
    generator = torch.Generator().manual_seed(0)
    return Batch(
        pixels=torch.randint(0, 256, (4, 3, 3, 8, 8), generator=generator, dtype=torch.uint8),
        captions=["a red ball moves left", "a blue star moves up", "", "a black square moves right"],
        fps=torch.tensor([4.0, 6.0, 4.0, 6.0]),
        condition_index=torch.tensor([0, 2, 1, 1]),
        drop_text=torch.tensor([False, True, False, False]),
        drop_image=torch.tensor([False, False, True, False]),
        seed=torch.tensor([11, 12, 13, 14]),
        keys=["a", "b", "c", "d"],
    )


def test_the_loss_of_a_batch_is_the_mean_over_its_samples_however_they_are_grouped(animator, batch):
    whole = animator.training_loss(batch)
    single = torch.stack([animator.training_loss(part) for part in batch.split(1)])
    torch.testing.assert_close(whole, single.mean(), rtol=1e-5, atol=1e-6)


def test_every_condition_reaches_the_loss(animator, batch):
    loss = animator.training_loss(batch)
    changes = {
        "text": replace(batch, captions=[f"{text} slowly" for text in batch.captions]),
        "fps": replace(batch, fps=batch.fps + 3),
        "frame": replace(batch, condition_index=(batch.condition_index + 1) % 3),
        "no text": replace(batch, drop_text=torch.ones(4, dtype=torch.bool)),
        "no image": replace(batch, drop_image=torch.ones(4, dtype=torch.bool)),
        "noise": replace(batch, seed=batch.seed + 1),
    }
    for name, changed in changes.items():
        assert animator.training_loss(changed) != loss, name


def test_a_dropped_caption_equals_the_empty_one(animator, batch):
    empty = replace(batch, captions=[""] * 4, drop_text=torch.zeros(4, dtype=torch.bool))
    dropped = replace(batch, drop_text=torch.ones(4, dtype=torch.bool))
    assert animator.training_loss(empty) == animator.training_loss(dropped)


def test_an_animation_does_not_depend_on_what_it_is_batched_with(animator):
    torch.manual_seed(1)
    images = torch.rand(2, 3, 8, 8) * 2 - 1
    settings = SamplingSettings(steps=3, eta=1.0, image_guidance=1.5, text_guidance=3.0, seed=5)
    both = animator.animate(images, ["a red ball", "a blue star"], settings)
    first = animator.animate(images[:1], ["a red ball"], settings)
    assert both.shape == (2, 3, 3, 8, 8) and both.abs().max() <= 1
    torch.testing.assert_close(both[:1], first, rtol=1e-3, atol=1e-4)


def test_a_network_without_temporal_layers_draws_single_images(small: Architecture):
    unet = small.unet.model_copy(update={"temporal": False})
    context = small.context.model_copy(update={"frames": None})
    animator = Animator(small.model_copy(update={"unet": unet, "context": context})).eval()
    images = animator.animate(torch.zeros(2, 3, 8, 8), ["", "a ball"], SamplingSettings(steps=2, eta=0.0))
    assert images.shape == (2, 1, 3, 8, 8)


def test_progress_counts_sampling_steps(animator):
    seen = []
    settings = SamplingSettings(steps=4, eta=0.0)
    animator.animate(torch.zeros(1, 3, 8, 8), [""], settings, lambda done, total: seen.append((done, total)))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_dct_codec_inverts_what_it_keeps():
    exact = build_codec(CodecConfig(kind="dct", patch=2, luma=4, chroma=4))
    pixels = torch.rand(2, 3, 8, 8) * 2 - 1
    torch.testing.assert_close(exact.decode(exact.encode(pixels)), pixels, rtol=1e-4, atol=1e-5)
    lossy = build_codec(CodecConfig(kind="dct", patch=2, luma=2, chroma=1))
    latents = lossy.encode(pixels)
    torch.testing.assert_close(lossy.encode(lossy.decode(latents * 0.2)), latents * 0.2, rtol=1e-3, atol=1e-4)


def test_random_encoders_are_a_function_of_their_seed(small: Architecture):
    first, second = ClipEncoders(small.encoders), ClipEncoders(small.encoders)
    other = ClipEncoders(small.encoders.model_copy(update={"seed": 1}))
    captions = ["a red ball moves left", "a red ball moves right"]
    features = first.text(captions)
    assert features.shape == (2, 77, 32)
    assert torch.equal(features, second.text(captions))
    assert not torch.allclose(features, other.text(captions), atol=0.1)
    assert not torch.allclose(features[0], features[1], atol=0.1)
    assert first.image(torch.zeros(1, 3, 8, 8)).shape == (1, 5, 24)


def test_shrinking_an_image_for_clip_removes_detail_that_would_alias():
    checkerboard = torch.ones(1, 3, 64, 64)
    checkerboard[..., ::2, ::2] = checkerboard[..., 1::2, 1::2] = -1
    grey = preprocess(torch.zeros(1, 3, 16, 16), 16)
    inner = (slice(None), slice(None), slice(2, -2), slice(2, -2))
    torch.testing.assert_close(preprocess(checkerboard, 16)[inner], grey[inner], rtol=0, atol=0.02)


def test_modes_show_the_network_the_frames_they_promise(animator, monkeypatch):
    torch.manual_seed(1)
    first, last = torch.rand(2, 1, 3, 8, 8) * 2 - 1
    settings, seen = SamplingSettings(steps=1, eta=0.0), []
    forward = animator.unet.forward
    monkeypatch.setattr(animator.unet, "forward", lambda x, *a, **k: seen.append(x) or forward(x, *a, **k))
    clips = {
        mode: animator.animate(first, ["a ball"], settings, mode=mode, last=end, frames=5)
        for mode, end in [("animate", None), ("interpolate", last), ("loop", None)]
    }
    assert {mode: clip.shape[1] for mode, clip in clips.items()} == {
        "animate": 5,
        "interpolate": 5,
        "loop": 4,
    }
    animated, interpolated, looped = (x[:, 4:] for x in seen)
    ends = [animator.codec.encode(pixels) for pixels in (first, last)]
    assert all(torch.equal(animated[:, :, frame], ends[0]) for frame in range(5))
    for condition, end in ((interpolated, ends[1]), (looped, ends[0])):
        assert torch.equal(condition[:, :, 0], ends[0]) and torch.equal(condition[:, :, -1], end)
        assert not condition[:, :, 1:-1].any()
    assert not torch.allclose(clips["animate"], clips["interpolate"], atol=1e-3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mode": "interpolate"}, "a last frame goes with mode interpolate"),
        ({"last": torch.zeros(1, 3, 8, 8)}, "a last frame goes with mode interpolate"),
        ({"mode": "interpolate", "last": torch.zeros(1, 3, 8, 4)}, r"last is of shape \(1, 3, 8, 4\)"),
        ({"mode": "loop", "frames": 2}, "mode loop needs at least 3"),
        ({"frames": 0}, "mode animate needs at least 1"),
    ],
)
def test_animations_that_cannot_be_are_refused(animator, arguments, message):
    with pytest.raises(AnimaticError, match=message):
        animator.animate(torch.zeros(1, 3, 8, 8), ["a ball"], SamplingSettings(steps=1), **arguments)


def test_images_that_do_not_fit_are_refused(animator):
    for image, prompts in ((torch.zeros(1, 3, 16, 16), ["a"]), (torch.zeros(1, 3, 8, 8), ["a", "b"])):
        with pytest.raises(AnimaticError, match="an image for each prompt, at the size of the network"):
            animator.animate(image, prompts, SamplingSettings(steps=1))


def test_modes_need_what_they_show(small: Architecture):
    image, settings = torch.zeros(1, 3, 8, 8), SamplingSettings(steps=1)
    with pytest.raises(AnimaticError, match="takes detail guidance: use a bundle of stage 3"):
        Animator(small).animate(image, [""], settings, mode="loop", frames=4)
    unet = small.unet.model_copy(update={"temporal": False})
    still = Animator(small.model_copy(update={"unet": unet}))
    for arguments in ({"frames": 3}, {"mode": "loop"}):
        with pytest.raises(AnimaticError, match="draws single images"):
            still.animate(image, [""], settings, **arguments)


def test_animations_of_any_length_keep_the_context_of_the_trained_one(animator):
    settings = SamplingSettings(steps=2, eta=0.5)
    image = torch.zeros(1, 3, 8, 8)
    own = animator.animate(image, ["a ball"], settings)
    assert torch.equal(animator.animate(image, ["a ball"], settings, frames=3), own)
    for frames in (1, 2, 6):
        assert animator.animate(image, ["a ball"], settings, frames=frames).shape == (1, frames, 3, 8, 8)
