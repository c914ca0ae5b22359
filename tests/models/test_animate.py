"""Animating still images: modes, lengths, batches, and what is refused."""

import pytest
import torch

from core.errors import AnimaticError
from models.animate import animate
from models.animator import Animator
from models.architecture import Architecture
from models.diffusion.settings import SamplingSettings
from tests.support.small_animator import small_animator


@pytest.fixture
def animator(small: Architecture) -> Animator:
    unet = small.unet.model_copy(update={"detail_guidance": True})
    return small_animator(small.model_copy(update={"unet": unet}))


def test_an_animation_does_not_depend_on_what_it_is_batched_with(animator):
    torch.manual_seed(1)
    images = torch.rand(2, 3, 8, 8) * 2 - 1
    settings = SamplingSettings(steps=3, eta=1.0, image_guidance=1.5, text_guidance=3.0, seed=5)
    both = animate(animator, images, ["a red ball", "a blue star"], settings)
    first = animate(animator, images[:1], ["a red ball"], settings)
    assert both.shape == (2, 3, 3, 8, 8) and both.abs().max() <= 1
    torch.testing.assert_close(both[:1], first, rtol=1e-3, atol=1e-4)


def test_a_network_without_temporal_layers_draws_single_images(small: Architecture):
    unet = small.unet.model_copy(update={"temporal": False})
    context = small.context.model_copy(update={"frames": None})
    animator = Animator(small.model_copy(update={"unet": unet, "context": context})).eval()
    images = animate(animator, torch.zeros(2, 3, 8, 8), ["", "a ball"], SamplingSettings(steps=2, eta=0.0))
    assert images.shape == (2, 1, 3, 8, 8)


def test_progress_counts_sampling_steps(animator):
    seen = []
    settings = SamplingSettings(steps=4, eta=0.0)
    animate(animator, torch.zeros(1, 3, 8, 8), [""], settings, lambda done, total: seen.append((done, total)))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_modes_condition_the_network_on_their_frames(animator, monkeypatch):
    torch.manual_seed(1)
    first, last = torch.rand(2, 1, 3, 8, 8) * 2 - 1
    settings, seen = SamplingSettings(steps=1, eta=0.0), []
    unet = animator.network.unet
    forward = unet.forward
    monkeypatch.setattr(unet, "forward", lambda x, *a, **k: seen.append(x) or forward(x, *a, **k))
    clips = {
        mode: animate(animator, first, ["a ball"], settings, mode=mode, last=end, frames=5)
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
        ({"mode": "interpolate"}, "mode interpolate takes a last frame"),
        ({"last": torch.zeros(1, 3, 8, 8)}, "mode interpolate takes a last frame"),
        ({"mode": "interpolate", "last": torch.zeros(1, 3, 8, 4)}, r"last is of shape \(1, 3, 8, 4\)"),
        ({"mode": "loop", "frames": 2}, "mode loop needs at least 3"),
        ({"frames": 0}, "mode animate needs at least 1"),
    ],
)
def test_invalid_requests_are_refused(animator, arguments, message):
    with pytest.raises(AnimaticError, match=message):
        animate(animator, torch.zeros(1, 3, 8, 8), ["a ball"], SamplingSettings(steps=1), **arguments)


def test_images_that_do_not_fit_are_refused(animator):
    for image, prompts in ((torch.zeros(1, 3, 16, 16), ["a"]), (torch.zeros(1, 3, 8, 8), ["a", "b"])):
        with pytest.raises(AnimaticError, match="an image for each prompt, at the size of the network"):
            animate(animator, image, prompts, SamplingSettings(steps=1))


def test_modes_need_a_network_that_supports_them(small: Architecture):
    image, settings = torch.zeros(1, 3, 8, 8), SamplingSettings(steps=1)
    with pytest.raises(AnimaticError, match="needs detail guidance: use a bundle of stage 3"):
        animate(Animator(small), image, [""], settings, mode="loop", frames=4)
    unet = small.unet.model_copy(update={"temporal": False})
    still = Animator(small.model_copy(update={"unet": unet}))
    for arguments in ({"frames": 3}, {"mode": "loop"}):
        with pytest.raises(AnimaticError, match="draws single images"):
            animate(still, image, [""], settings, **arguments)


def test_clips_of_any_length_are_animated(animator):
    settings = SamplingSettings(steps=2, eta=0.5)
    image = torch.zeros(1, 3, 8, 8)
    own = animate(animator, image, ["a ball"], settings)
    assert torch.equal(animate(animator, image, ["a ball"], settings, frames=3), own)
    for frames in (1, 2, 6):
        assert animate(animator, image, ["a ball"], settings, frames=frames).shape == (1, frames, 3, 8, 8)
