"""Slower and faster samples: the distance between frames changes, the rate input stays."""

import dataclasses
from collections import Counter
from typing import Any

import pytest
from pydantic import ValidationError

from pipelines.loader import ClipSampling
from pipelines.loader.rungs import on_rung
from pipelines.loader.sample_reader import ClipRow
from pipelines.loader.sampling import SampleParams, draw_params


def drawn(
    tempo: tuple[float, float], count: int = 60, frames: int = 40, **changes: Any
) -> list[SampleParams]:
    settings = {"frames": 8, "height": 8, "width": 8, "stride": (4, 4)} | changes
    sampling = ClipSampling(**settings, tempo=tempo)
    return [
        draw_params(sampling, 0, 0, f"clip {each}", clip_frames=frames, clip_fps=12.0)
        for each in range(count)
    ]


def test_a_tempo_changes_the_distance_of_frames_and_nothing_else() -> None:
    filmed, slow = drawn((1.0, 1.0)), drawn((0.5, 0.5))
    for before, after in zip(filmed, slow, strict=True):
        assert (before.stride, after.stride) == (4, 2) and before.fps == after.fps == 3.0
        unchanged = {"stride": 0, "start": 0}
        assert dataclasses.replace(before, **unchanged) == dataclasses.replace(after, **unchanged)
        assert 0 <= after.start <= 40 - 1 - 2 * 7
    assert len({each.start for each in slow}) > 15


def test_distances_within_the_tempos_are_equally_frequent_and_independent_of_the_rate() -> None:
    counts = Counter(each.stride for each in drawn((0.25, 1.0), count=400))
    assert set(counts) == {1, 2, 3, 4} and min(counts.values()) > 70
    both = Counter((each.fps, each.stride) for each in drawn((0.5, 1.0), count=400, stride=(2, 4)))
    assert {pair for pair in both if pair[0] == 6.0} == {(6.0, 1), (6.0, 2)}
    assert {pair for pair in both if pair[0] == 3.0} == {(3.0, 2), (3.0, 3), (3.0, 4)}


def test_a_clip_is_played_no_faster_than_it_has_frames_and_no_slower_than_frame_by_frame() -> None:
    assert {each.stride for each in drawn((3.0, 3.0), stride=(2, 2))} == {5}
    assert {each.stride for each in drawn((2.0, 2.0), stride=(2, 2))} == {4}
    assert {each.stride for each in drawn((0.1, 0.1))} == {1}
    assert {each.stride for each in drawn((1.2, 1.2), frames=8, stride=(1, 1))} == {1}
    assert {(each.stride, each.fps) for each in drawn((0.2, 0.4), frames=1, images_only=True)} == {(1, 12.0)}


@pytest.mark.parametrize("tempo", [(0.0, 1.0), (-1.0, 1.0), (1.0, 0.5), (1.0, 101.0), (1.0, float("inf"))])
def test_tempos_that_mean_nothing_are_refused(tempo: tuple[float, float]) -> None:
    with pytest.raises(ValidationError, match=r"tempo must be \[low, high\] with 0 < low"):
        ClipSampling(frames=8, height=8, width=8, tempo=tempo)


def test_slow_motion_needs_the_frames_of_an_encoding_with_more() -> None:
    clip = ClipRow(row=0, key="c", caption="", frames=96, fps=48.0, height=64, width=64)
    rung: Any = {"rung": "r", "fps": 12.0, "frames": 24, "height": 32, "width": 32}
    chosen = {
        tempo: on_rung(
            clip,
            [rung],
            ClipSampling(frames=8, height=32, width=32, target_fps=(6.0, 12.0), tempo=(tempo, 1.0)),
            any_rate=True,
        ).rung
        for tempo in (1.0, 0.5)
    }
    assert chosen == {1.0: "r", 0.5: None}
