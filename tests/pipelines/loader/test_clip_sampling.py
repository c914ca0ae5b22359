"""Defaults and ranges of the settings that decide how a sample is taken from a clip."""

from typing import Any

import pytest
from pydantic import ValidationError

from pipelines.loader import ClipSampling
from pipelines.loader.buckets import Bucket
from pipelines.loader.selection import Selection

LEAST: dict[str, Any] = {"frames": 1, "height": 8, "width": 8}


def test_defaults_are_those_that_recorded_hashes_rely_on() -> None:
    assert ClipSampling(**LEAST).model_dump() == LEAST | {
        "stride": (1, 6),
        "target_fps": None,
        "tempo": (1.0, 1.0),
        "short_clips": "slow",
        "flip": False,
        "condition": "random",
        "drop_text": 0.05,
        "drop_image": 0.05,
        "drop_both": 0.05,
        "fps_condition": "fps",
        "images_only": False,
        "motion_condition": False,
        "drop_motion": 0.1,
    }


@pytest.mark.parametrize(
    "changed",
    [
        {"stride": (1, 1)},
        {"target_fps": (0.1, 0.1)},
        {"condition": 0},
        {"condition": 3, "frames": 4},
        {"drop_text": 0, "drop_image": 0, "drop_both": 0},
        {"drop_text": 0.5, "drop_image": 0.25, "drop_both": 0.25},
    ],
)
def test_values_at_the_ends_of_a_range_are_accepted(changed: dict[str, Any]) -> None:
    found = ClipSampling(**LEAST | changed).model_dump()
    assert {name: found[name] for name in changed} == changed


@pytest.mark.parametrize(
    "changed",
    [
        {"frames": 0},
        {"height": 7},
        {"width": 7},
        {"stride": (0, 1)},
        {"stride": (2, 1)},
        {"target_fps": (0.0, 1.0)},
        {"target_fps": (2.0, 1.0)},
        {"condition": -1},
        {"condition": 1},
        {"drop_text": -0.1},
        {"drop_image": 1.1},
        {"drop_text": 0.5, "drop_image": 0.25, "drop_both": 0.26},
    ],
)
def test_values_outside_of_a_range_are_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ClipSampling(**LEAST | changed)


def test_a_bucket_has_the_condition_frame_of_its_samples() -> None:
    base = ClipSampling(frames=8, height=32, width=32, condition=4)
    assert Bucket(height=16, width=24, frames=5).sampling(base).model_dump() == base.model_dump() | {
        "height": 16,
        "width": 24,
        "frames": 5,
    }
    with pytest.raises(ValueError, match="condition is frame 4, but bucket 16x24x4 has only 4"):
        Bucket(height=16, width=24, frames=4).sampling(base)


def test_a_similarity_is_a_cosine() -> None:
    for value in (-1.0, 1.0):
        assert Selection(min_clip_similarity=value).min_clip_similarity == value
    for value in (-1.01, 1.01):
        with pytest.raises(ValidationError, match="min_clip_similarity"):
            Selection(min_clip_similarity=value)
