"""Measures: the direction detector against footage whose direction is known, the others on known inputs."""

import numpy as np
import pytest

from orchestration.demo.footage import draw_scene, render
from pipelines.evaluate.metrics import caption_direction, motion_direction
from pipelines.evaluate.metrics.first_frame_psnr import psnr
from pipelines.evaluate.metrics.motion import displacement


@pytest.fixture(scope="module")
def scenes():
    chosen = [draw_scene(5, index) for index in range(60)]
    return [(scene.direction, render(scene, frames=24, size=64)) for scene in chosen]


@pytest.mark.parametrize(("frames", "stride"), [(16, 1), (8, 1), (8, 3)])
def test_detector_finds_the_direction_of_rendered_clips(scenes, frames, stride):
    right = [motion_direction(clip[: frames * stride : stride]) == direction for direction, clip in scenes]
    assert np.mean(right) >= 0.98


def test_detector_withstands_the_noise_of_a_weak_network(scenes):
    rng = np.random.default_rng(0)
    right = []
    for direction, clip in scenes:
        coarse = rng.normal(0, 15, (16, 16, 16, 3)).repeat(4, axis=1).repeat(4, axis=2)
        noisy = np.clip(clip[:16] + coarse, 0, 255).astype(np.uint8)
        right.append(motion_direction(noisy) == direction)
    assert np.mean(right) >= 0.9


def test_reversed_clip_moves_the_other_way(scenes):
    opposite = {"left": "right", "right": "left", "up": "down", "down": "up"}
    assert all(motion_direction(clip[::-1]) == opposite[direction] for direction, clip in scenes)


def test_clip_that_stands_still_has_no_direction(scenes):
    assert all(motion_direction(np.repeat(clip[:1], 16, axis=0)) is None for _, clip in scenes)
    rng = np.random.default_rng(1)
    noisy = [clip[:1] + rng.normal(0, 4, (16, 64, 64, 3)) for _, clip in scenes]
    still = [motion_direction(np.clip(clip, 0, 255).astype(np.uint8)) is None for clip in noisy]
    assert np.mean(still) >= 0.9


def test_flicker_of_the_whole_picture_is_no_motion(scenes):
    brightness = np.linspace(0.8, 1.2, 16)[:, None, None, None]
    flickering = [np.clip(clip[:1] * brightness, 0, 255).astype(np.uint8) for _, clip in scenes]
    assert np.mean([motion_direction(clip) is None for clip in flickering]) >= 0.9


def test_travel_is_measured_in_frame_sides():
    clip = np.zeros((9, 64, 64, 3), np.uint8)
    for step in range(9):
        clip[step, 20:40, 10 + 2 * step : 30 + 2 * step] = 255
    right, down = displacement(clip)
    assert right == pytest.approx(16 / 64, rel=0.15)
    assert abs(down) < 0.02


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
