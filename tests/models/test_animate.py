"""Animating still images: modes, lengths, batches, and what is refused."""

import pytest
import torch
from pydantic import ValidationError

from core.errors import AnimaticError
from models.animate import animate, noise_seeds, sample_latents
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


def test_samples_of_a_batch_have_noise_of_their_own_from_the_seed_on(animator):
    images, prompts = torch.zeros(2, 3, 8, 8), ["a ball", "a ball"]
    for eta in (0.0, 1.0):
        settings = SamplingSettings(steps=3, eta=eta, seed=5)
        clips = animate(animator, images, prompts, settings)
        assert (clips[0] - clips[1]).abs().max() > 0.1
        assert torch.equal(animate(animator, images, prompts, settings), clips)
        other = animate(animator, images, prompts, settings.model_copy(update={"seed": 6}))
        assert all((new - old).abs().max() > 0.1 for new in other for old in clips)


def test_guidance_weighs_an_empty_prompt_a_grey_image_and_what_is_given(small: Architecture):
    """Weights of 0 and 1 leave one of the three predictions alone."""
    animator = small_animator(small)
    torch.manual_seed(1)
    picture, grey, text = torch.rand(1, 3, 8, 8) * 2 - 1, torch.zeros(1, 3, 8, 8), "a red ball"

    def alone(image, prompt, text_guidance, image_guidance=None):
        settings = SamplingSettings(
            steps=2, eta=0.0, text_guidance=text_guidance, image_guidance=image_guidance
        )
        return animate(animator, image, [prompt], settings)

    def same(*clips):
        return all(torch.allclose(clip, clips[0], rtol=1e-3, atol=1e-4) for clip in clips[1:])

    nothing, both = alone(grey, "", 1), alone(picture, text, 1)
    only_image, only_text = alone(picture, "", 1), alone(grey, text, 1)
    assert same(nothing, alone(picture, text, 0), alone(picture, text, 0, 0))
    assert same(only_image, alone(picture, text, 0, 1))
    assert same(both, alone(picture, text, 1, 1))
    distinct = [nothing, only_image, only_text, both]
    for index, clip in enumerate(distinct):
        assert all((clip - other).abs().max() > 1e-3 for other in distinct[:index])


def test_the_frame_rate_reaches_the_network_and_is_the_networks_own_if_none_is_given(animator):
    def clip(fps):
        return animate(
            animator, torch.zeros(1, 3, 8, 8), ["a ball"], SamplingSettings(steps=2, eta=0, fps=fps)
        )

    own = animator.architecture.unet.default_fps
    assert torch.equal(clip(None), clip(float(own)))
    assert (clip(own) - clip(own / 4)).abs().max() > 1e-3


def test_a_network_without_temporal_layers_draws_single_images(small: Architecture):
    unet = small.unet.model_copy(update={"temporal": False})
    context = small.context.model_copy(update={"frames": None})
    animator = small_animator(small.model_copy(update={"unet": unet, "context": context}))
    torch.manual_seed(1)
    pictures, settings = torch.rand(2, 3, 8, 8) * 2 - 1, SamplingSettings(steps=2, eta=0.0)
    images = animate(animator, pictures, ["", "a ball"], settings)
    assert images.shape == (2, 1, 3, 8, 8)
    torch.testing.assert_close(
        images[:1], animate(animator, pictures[:1], [""], settings), rtol=1e-3, atol=1e-4
    )
    for changed in (
        animate(animator, pictures, ["", "a star"], settings),
        animate(animator, -pictures, ["", "a ball"], settings),
    ):
        assert (changed[1] - images[1]).abs().max() > 1e-3


@pytest.mark.parametrize("value", [1e30, 1e38])
def test_guidance_beyond_what_numbers_hold_is_an_error_and_no_black_clip(animator, value):
    settings = SamplingSettings(steps=2, text_guidance=value)
    with pytest.raises(AnimaticError, match=r"not finite \(text_guidance 1e\+3.*lower the guidance"):
        animate(animator, torch.zeros(1, 3, 8, 8), ["a ball"], settings)


def test_latents_that_are_not_finite_are_an_error_whatever_the_codec_makes_of_them(animator, monkeypatch):
    monkeypatch.setattr(animator.codec, "decode", lambda latents: latents.new_full((3, 3, 8, 8), -1.0))
    with pytest.raises(AnimaticError, match="pixels that are not finite"):
        animate(animator, torch.zeros(1, 3, 8, 8), ["a"], SamplingSettings(steps=2, text_guidance=1e30))


@pytest.mark.parametrize("name", ["network.unet.conv_out.bias", "encoders.clip.ln_final.weight"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_named(animator, name, value):
    with torch.no_grad():
        animator.get_parameter(name)[0] = value
    with pytest.raises(AnimaticError, match=f"weight {name} of the model is not finite: restore the bundle"):
        animate(animator, torch.zeros(1, 3, 8, 8), ["a ball"], SamplingSettings(steps=1))


@pytest.mark.parametrize("name", ["fps", "text_guidance", "image_guidance", "eta", "guidance_rescale"])
@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_settings_are_finite_numbers(name, value):
    with pytest.raises(ValidationError, match=name):
        SamplingSettings.model_validate({name: value})


def test_a_frame_rate_beyond_any_video_is_refused():
    with pytest.raises(ValidationError, match="less than or equal to 1000"):
        SamplingSettings(fps=1e308)


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


def test_clips_of_any_length_are_animated(animator, monkeypatch):
    settings = SamplingSettings(steps=2, eta=0.5)
    image, seen = torch.zeros(1, 3, 8, 8), []
    own = animate(animator, image, ["a ball"], settings)
    assert torch.equal(animate(animator, image, ["a ball"], settings, frames=3), own)
    unet = animator.network.unet
    forward = unet.forward
    monkeypatch.setattr(unet, "forward", lambda x, *a, **k: seen.append(x) or forward(x, *a, **k))
    condition = animator.codec.encode(image)
    for frames in (1, 2, 6):
        clip = animate(animator, image, ["a ball"], settings, frames=frames)
        assert clip.shape == (1, frames, 3, 8, 8)
        # The network sees the image beside the noise of every frame, and frames are not copies.
        assert torch.equal(seen[-1][:1, 4:], condition[:, :, None].expand(-1, -1, frames, -1, -1))
        assert all(not torch.equal(clip[0, frame], clip[0, 0]) for frame in range(1, frames))


def _pictures(count: int) -> torch.Tensor:
    return torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(1)) * 2 - 1


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_a_sample_that_leaves_between_two_steps_does_not_change_the_others(animator, eta):
    images, prompts = _pictures(3), ["a red ball", "a blue star", "a cube"]
    settings = SamplingSettings(steps=4, eta=eta, image_guidance=1.5, text_guidance=3.0, fps=6.0)
    seeds = [11, 12, 13]
    whole = sample_latents(animator, images, prompts, settings, seeds=seeds)
    steps = []

    def second_leaves(done: int, of: int) -> list[int] | None:
        steps.append((done, of))
        return [0, 2] if done == 2 else None

    rest = sample_latents(animator, images, prompts, settings, seeds=seeds, keep=second_leaves)
    assert steps == [(1, 4), (2, 4), (3, 4), (4, 4)]
    torch.testing.assert_close(rest, whole[[0, 2]], rtol=1e-3, atol=1e-4)


def test_sampling_ends_with_the_step_after_which_no_sample_is_left(animator):
    steps = []
    latents = sample_latents(
        animator,
        _pictures(2),
        ["a ball", "a star"],
        SamplingSettings(steps=5),
        lambda done, of: steps.append(done),
        keep=lambda done, of: [] if done == 2 else [1, 0] if done == 1 else None,
    )
    assert len(latents) == 0 and steps == [1, 2]


def test_a_clip_has_the_seeds_of_its_settings_unless_others_are_given(animator):
    def clip(**seeds):
        return animate(
            animator, _pictures(1), ["a ball"], SamplingSettings(steps=2, **seeds.pop("own", {})), **seeds
        )

    assert torch.equal(clip(own={"seed": 7}), clip(seeds=noise_seeds(7)))
    assert not torch.equal(clip(own={"seed": 7}), clip())
