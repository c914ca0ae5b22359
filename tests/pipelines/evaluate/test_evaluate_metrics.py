"""Measures: the direction detector against footage whose direction is known, the others on known inputs."""

import numpy as np
import pytest

from orchestration.demo.footage import draw_scene, render
from pipelines.evaluate.metrics import caption_direction, detect_motion
from pipelines.evaluate.metrics.first_frame_psnr import psnr
from pipelines.evaluate.metrics.first_frame_ssim import ssim
from pipelines.evaluate.metrics.flicker import flicker
from pipelines.evaluate.motion import MIN_TRAVEL


@pytest.fixture(scope="module")
def scenes():
    chosen = [draw_scene(5, index) for index in range(60)]
    return [(scene.direction, render(scene, frames=24, size=64)) for scene in chosen]


@pytest.mark.parametrize(("frames", "stride"), [(16, 1), (8, 1), (8, 3)])
def test_detector_finds_the_direction_of_rendered_clips(scenes, frames, stride):
    right = [
        detect_motion(clip[: frames * stride : stride]).direction == direction for direction, clip in scenes
    ]
    assert np.mean(right) >= 0.98


def test_detector_withstands_the_noise_of_a_weak_network(scenes):
    rng = np.random.default_rng(0)
    right = []
    for direction, clip in scenes:
        coarse = rng.normal(0, 15, (16, 16, 16, 3)).repeat(4, axis=1).repeat(4, axis=2)
        noisy = np.clip(clip[:16] + coarse, 0, 255).astype(np.uint8)
        right.append(detect_motion(noisy).direction == direction)
    assert np.mean(right) >= 0.9


def test_reversed_clip_moves_the_other_way(scenes):
    opposite = {"left": "right", "right": "left", "up": "down", "down": "up"}
    assert all(detect_motion(clip[::-1]).direction == opposite[direction] for direction, clip in scenes)


def test_clip_that_stands_still_has_no_direction(scenes):
    assert all(detect_motion(np.repeat(clip[:1], 16, axis=0)).direction is None for _, clip in scenes)
    rng = np.random.default_rng(1)
    noisy = [clip[:1] + rng.normal(0, 4, (16, 64, 64, 3)) for _, clip in scenes]
    still = [detect_motion(np.clip(clip, 0, 255).astype(np.uint8)).direction is None for clip in noisy]
    assert np.mean(still) >= 0.9


def test_flicker_of_the_whole_picture_is_no_motion(scenes):
    brightness = np.linspace(0.8, 1.2, 16)[:, None, None, None]
    flickering = [np.clip(clip[:1] * brightness, 0, 255).astype(np.uint8) for _, clip in scenes]
    assert np.mean([detect_motion(clip).direction is None for clip in flickering]) >= 0.9


def test_travel_is_measured_in_frame_sides():
    clip = np.zeros((9, 64, 64, 3), np.uint8)
    for step in range(9):
        clip[step, 20:40, 10 + 2 * step : 30 + 2 * step] = 255
    motion = detect_motion(clip)
    assert motion.right == pytest.approx(16 / 64, rel=0.15)
    assert abs(motion.down) < 0.02


@pytest.mark.parametrize(
    ("caption", "direction"),
    [
        ("a red ball moves left", "left"),
        ("Up goes the balloon", "up"),
        ("a boat", None),
        ("from left to right", None),
        ("an upright piano", None),
    ],
)
def test_direction_is_read_from_captions_that_name_one(caption, direction):
    assert caption_direction(caption) == direction


def test_psnr_of_known_errors():
    image = np.full((8, 8, 3), 100, np.uint8)
    assert psnr(image, image) == 100
    assert psnr(image, image + np.uint8(1)) == pytest.approx(48.1308, abs=1e-3)
    assert psnr(np.zeros_like(image), np.full_like(image, 255)) == 0
    with pytest.raises(ValueError, match="cannot be compared"):
        psnr(image, image[:4])


@pytest.fixture(scope="module")
def moving(scenes):
    """Share of clips that count as moving after a change to each."""

    def share(change):
        return np.mean([detect_motion(change(clip)).path >= MIN_TRAVEL for _, clip in scenes[:30]])

    return share


def test_what_moves_counts_whatever_its_directions(moving):
    assert moving(lambda clip: clip[:16]) >= 0.95
    there = slice(None, 24, 3)
    assert moving(lambda clip: np.concatenate([clip[there], clip[there][::-1]])) >= 0.95
    left = np.s_[::3, :, :32]
    assert moving(lambda clip: np.concatenate([clip[left], clip[left][:, :, ::-1]], axis=2)) >= 0.9


def test_a_still_picture_does_not_move_for_noise_or_flicker(moving):
    rng = np.random.default_rng(0)

    def still(clip, brightness=1.0, noise=0.0):
        changed = clip[:1] * np.reshape(brightness, (-1, 1, 1, 1)) + rng.normal(0, noise, (16, 64, 64, 3))
        return np.clip(changed, 0, 255).astype(np.uint8)

    assert moving(still) == 0
    assert moving(lambda clip: still(clip, noise=4)) <= 0.1
    assert moving(lambda clip: still(clip, noise=16)) <= 0.3
    assert moving(lambda clip: still(clip, 1 + 0.1 * (-1.0) ** np.arange(16))) <= 0.1


def test_ssim_is_the_published_one():
    """scikit-image 0.26: structural_similarity(a, b, data_range=255, channel_axis=-1, gaussian_weights=True,
    sigma=1.5, use_sample_covariance=False)."""
    rng = np.random.default_rng(7)
    image = rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)
    noisy = np.clip(image + rng.normal(0, 30, image.shape), 0, 255).astype(np.uint8)
    assert ssim(image, image) == 1
    assert ssim(image, noisy) == pytest.approx(0.9247656035541842, abs=1e-9)
    assert ssim(image, 255 - image) == pytest.approx(-0.9679736976395127, abs=1e-9)
    assert ssim(image[:10], image[:10]) is None
    with pytest.raises(ValueError, match="cannot be compared"):
        ssim(image, image[:20])


def test_flicker_is_what_alternates():
    ramp = np.arange(0, 48, 3, dtype=np.uint8)[:, None, None, None].repeat(4, 1).repeat(4, 2).repeat(3, 3)
    assert flicker(ramp) == 0
    alternating = ramp.copy()
    alternating[1::2] += 5
    assert flicker(alternating) == 5
    assert flicker(ramp[:2]) is None
