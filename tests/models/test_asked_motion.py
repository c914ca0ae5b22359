"""What a network is given for the motion that is asked for, and what sampling does with it."""

import json

import pytest
import torch
from pydantic import ValidationError

from core.errors import AnimaticError
from models.animate import animate, sample_latents
from models.animator import Animator
from models.architecture import Architecture
from models.asked_motion import motion_range, motion_value
from models.diffusion.settings import SamplingSettings
from models.motion import MotionCalibration, rising
from tests.support.motion import CALIBRATION
from tests.support.small_animator import small_animator, small_architecture


def conditioned(calibration: MotionCalibration | None = None) -> Architecture:
    small = small_architecture()
    unet = small.unet.model_copy(update={"motion_condition": True})
    return small.model_copy(update={"unet": unet, "motion_calibration": calibration})


@pytest.fixture(scope="module")
def animator() -> Animator:
    return small_animator(conditioned())


def sampled(animator: Animator, count: int = 2, **settings) -> torch.Tensor:
    image = torch.linspace(-1, 1, count * 3 * 64).view(count, 3, 8, 8)
    chosen = SamplingSettings(steps=2, text_guidance=3.0, image_guidance=2.0, **settings)
    return sample_latents(animator, image, ["a ball"] * count, chosen)


def test_a_calibration_is_inverted() -> None:
    architecture = conditioned(CALIBRATION)
    assert motion_range(architecture) == (0.1, 0.8)
    asked = [0.1, 0.25, 0.4, 0.6, 0.8]
    assert [motion_value(architecture, each) for each in asked] == pytest.approx([0.2, 0.5, 0.8, 2.0, 3.2])
    plain = conditioned()
    assert motion_range(plain) == (0.0, 100.0) and motion_value(plain, 0.37) == 0.37
    assert Architecture.model_validate_json(architecture.model_dump_json()) == architecture


def test_what_a_network_cannot_do_is_refused() -> None:
    with pytest.raises(AnimaticError, match=r"no motion condition: leave motion out, .*motion_condition"):
        motion_value(small_architecture(), 0.5)
    for motion in (0.09, 0.81):
        with pytest.raises(AnimaticError, match=r"motion 0\.\d+ is not within 0\.1 to 0\.8 percent"):
            motion_value(conditioned(CALIBRATION), motion)
    with pytest.raises(AnimaticError, match="no motion condition"):
        sampled(small_animator(small_architecture()), motion=0.5)


@pytest.mark.parametrize(
    ("given", "measured", "problem"),
    [
        ((0.1, 0.2), (0.3, 0.3), "measured must be two or more rising numbers"),
        ((0.2, 0.1), (0.1, 0.3), "given must be two or more rising numbers"),
        ((-0.1, 0.1), (0.1, 0.3), "given must be"),
        ((0.1,), (0.1,), "two or more"),
        ((0.1, 0.2, 0.3), (0.1, 0.2), "differ in length"),
        ((0.1, float("nan")), (0.1, 0.2), "finite"),
    ],
)
def test_a_calibration_that_cannot_be_inverted_is_no_calibration(given, measured, problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        MotionCalibration(given=given, measured=measured, error=0, clips=1, steps=1)
    with pytest.raises(ValidationError, match=r"unet\.motion_condition"):
        Architecture.model_validate(small_architecture().model_dump() | {"motion_calibration": CALIBRATION})


def test_the_rising_sequence_is_the_nearest() -> None:
    assert rising([1, 2, 3]) == [1, 2, 3]
    assert rising([1, 3, 2, 4]) == [1, 2.5, 2.5, 4]
    assert rising([3, 2, 1]) == [2, 2, 2]
    assert rising([]) == []


def test_settings_without_motion_are_recorded_as_before() -> None:
    assert "motion" not in json.loads(SamplingSettings().model_dump_json())
    assert json.loads(SamplingSettings(motion=0.5).model_dump_json())["motion"] == 0.5
    for motion in (-0.1, 101, float("inf")):
        with pytest.raises(ValidationError, match="motion"):
            SamplingSettings(motion=motion)


def test_motion_that_is_asked_for_changes_the_clip(animator: Animator) -> None:
    unspecified, little, much = (sampled(animator, **each) for each in ({}, {"motion": 0.5}, {"motion": 4.0}))
    assert not torch.allclose(unspecified, little) and not torch.allclose(little, much)
    assert torch.equal(sampled(animator, motion=0.5), little)
    without = small_animator(small_architecture())
    with torch.no_grad():
        weights = dict(animator.network.named_parameters())
        for name, parameter in without.network.named_parameters():
            parameter.copy_(weights[name])
    torch.testing.assert_close(sampled(without), unspecified)


def test_sampling_gives_the_network_the_calibrated_value(animator: Animator) -> None:
    calibrated = small_animator(conditioned(CALIBRATION))
    calibrated.network.load_state_dict(animator.network.state_dict())
    torch.testing.assert_close(sampled(calibrated, motion=0.25), sampled(animator, motion=0.5))


@pytest.mark.parametrize("cache_every", [1, 2])
def test_an_amplified_motion_changes_predictions_by_a_multiple(animator: Animator, cache_every: int) -> None:
    amplified = CALIBRATION.model_copy(update={"amplification": 3.0})
    stronger = small_animator(conditioned(amplified))
    stronger.network.load_state_dict(animator.network.state_dict())
    # One step and no guidance: the clip is linear in the prediction.
    chosen = {"motion": 0.25, "cache_every": cache_every}
    image = torch.linspace(-1, 1, 3 * 64).view(1, 3, 8, 8)

    def clip(by: Animator, **settings) -> torch.Tensor:
        single = SamplingSettings(steps=1, text_guidance=1.0, eta=0.0, **settings)
        return sample_latents(by, image, ["a ball"], single)

    unspecified, plain = clip(animator), clip(animator, motion=0.5)
    torch.testing.assert_close(
        clip(stronger, **chosen), unspecified + 3 * (plain - unspecified), rtol=1e-3, atol=1e-4
    )
    assert torch.equal(clip(stronger), unspecified)
    # Over more steps, and as samples leave.
    settings = SamplingSettings(steps=4, **chosen)
    kept = sample_latents(
        stronger, image.expand(3, -1, -1, -1), ["a"] * 3, settings,
        keep=lambda done, steps: [0, 2] if done == 2 else None,
    )  # fmt: skip
    whole = sample_latents(stronger, image.expand(3, -1, -1, -1), ["a"] * 3, settings)
    torch.testing.assert_close(kept, whole[[0, 2]], rtol=1e-3, atol=1e-3)


def test_an_amplification_is_recorded_where_it_is_one() -> None:
    assert "amplification" not in json.loads(CALIBRATION.model_dump_json())
    for factor in (0.5, 21, float("nan")):
        with pytest.raises(ValidationError, match="amplification"):
            MotionCalibration(**CALIBRATION.model_dump() | {"amplification": factor})


def test_samples_that_are_dropped_take_their_motion_along(animator: Animator) -> None:
    image = torch.zeros(3, 3, 8, 8)
    settings = SamplingSettings(steps=3, motion=1.0)
    kept = sample_latents(
        animator, image, ["a"] * 3, settings, keep=lambda done, steps: [0, 2] if done == 1 else None
    )
    torch.testing.assert_close(
        kept, sample_latents(animator, image, ["a"] * 3, settings)[[0, 2]], rtol=1e-4, atol=1e-4
    )
    assert animate(animator, image, ["a"] * 3, settings).isfinite().all()
