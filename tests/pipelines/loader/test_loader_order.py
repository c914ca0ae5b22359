"""The global order and the parameters of one sample: pure functions of digest, seed, epoch and key."""

import hashlib
from collections import Counter

import numpy as np
import pytest
from pydantic import ValidationError

from pipelines.loader.sampling import ClipSampling, draw_params
from pipelines.loader.shuffle import GlobalOrder, Permutation


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 65, 1000, 4097])
def test_every_element_appears_exactly_once(size):
    permutation = Permutation(size, b"key")
    assert sorted(permutation[n] for n in range(size)) == list(range(size))


def test_order_changes_with_digest_seed_and_epoch_alone():
    def epoch(digest="d", seed=0, number=0):
        order = GlobalOrder([200], digest, seed, 64)
        return [order.at(number * 200 + n).sample for n in range(200)]

    assert epoch() == epoch()
    assert len({tuple(o) for o in (epoch(), epoch(digest="e"), epoch(seed=1), epoch(number=1))}) == 4


def test_order_is_as_mixed_as_a_full_shuffle():
    size = 4000
    order = np.array([GlobalOrder([size], "digest", 5, 64).at(n).sample for n in range(size)])
    # Standard deviation of the rank correlation of two random orders is 1/sqrt(size) = 0.016.
    assert abs(np.corrcoef(np.arange(size), order)[0, 1]) < 0.06
    # A random permutation keeps 2 pairs of stored neighbours side by side on average.
    assert np.sum(np.abs(np.diff(order)) == 1) < 12


def test_position_ten_million_of_a_large_dataset_needs_no_table():
    order = GlobalOrder([10**9], "digest", 0, 64)
    assert order.at(10**7).epoch == 0
    assert order.at(25 * 10**8).epoch == 2


@pytest.mark.parametrize(
    ("shards", "window"),
    [([5, 0, 7, 1, 9, 4], 2), ([3] * 10, 3), ([0, 0, 4], 1), ([6, 6], 1), ([4, 5], 9), ([1], 1)],
)
def test_an_epoch_of_windows_contains_every_sample_once(shards, window):
    size = sum(shards)
    order = GlobalOrder(shards, "digest", 0, window)
    for epoch in range(3):
        found = [order.at(epoch * size + n) for n in range(size)]
        assert {each.epoch for each in found} == {epoch}
        assert sorted(each.sample for each in found) == list(range(size))


def test_a_window_needs_few_shards_and_each_epoch_combines_others():
    order, size = GlobalOrder([50] * 12, "digest", 0, 4), 600
    epochs = [[order.at(e * size + n).sample // 50 for n in range(size)] for e in range(4)]
    windows = [[frozenset(epoch[start : start + 200]) for start in range(0, size, 200)] for epoch in epochs]
    assert all(len(window) == 4 for epoch in windows for window in epoch)
    assert len({window for epoch in windows for window in epoch}) > 6


def test_substitutes_come_from_the_same_window():
    order = GlobalOrder([50] * 12, "digest", 0, 4)
    window = sorted(order.at(200 + n).sample for n in range(200))
    assert sorted(order.substitutes(333, "key")) == window
    assert list(order.substitutes(333, "key")) == list(order.substitutes(333, "key"))
    assert list(order.substitutes(333, "key")) != list(order.substitutes(333, "other"))


@pytest.mark.parametrize("position", [0, 10_000_000, 10**9])
def test_every_position_costs_the_same(monkeypatch, position):
    """About two rounds of hashes per sample, early or late: nothing is iterated over."""
    hashes = []
    blake2b = hashlib.blake2b
    monkeypatch.setattr("hashlib.blake2b", lambda *a, **k: hashes.append(1) or blake2b(*a, **k))
    order = GlobalOrder([1000] * 20_000, "digest", 0, 64)
    found = [order.at(position + n) for n in range(64)]
    assert len(set(found)) == 64
    assert len(hashes) < 64 * 8 * 4


def sampling(**changes):
    return ClipSampling(**{"frames": 8, "height": 32, "width": 32, **changes})


def draws(settings, count=20_000, clip_frames=100, seed=3):
    return [
        draw_params(settings, seed, 0, f"k{n}", clip_frames=clip_frames, clip_fps=24.0) for n in range(count)
    ]


def test_dropout_shares_are_those_published():
    kinds = Counter((d.drop_text, d.drop_image) for d in draws(sampling()))
    for kind in [(True, False), (True, True), (False, True)]:
        assert kinds[kind] / 20_000 == pytest.approx(0.05, abs=0.006)
    assert kinds[False, False] / 20_000 == pytest.approx(0.85, abs=0.01)


def test_dropout_shares_follow_each_setting():
    only_image = draws(sampling(drop_text=0, drop_both=0, drop_image=1), count=100)
    assert all(d.drop_image and not d.drop_text for d in only_image)
    never = draws(sampling(drop_text=0, drop_both=0, drop_image=0), count=2000)
    assert not any(d.drop_image or d.drop_text for d in never)


def test_strides_starts_and_condition_frames_cover_their_ranges():
    all_draws = draws(sampling(stride=(2, 5)), count=4000)
    assert {d.stride for d in all_draws} == {2, 3, 4, 5}
    assert {d.condition_index for d in all_draws} == set(range(8))
    assert min(d.frame_indices[0] for d in all_draws) == 0
    assert max(d.frame_indices[-1] for d in all_draws) == 99
    assert len({d.noise_seed for d in all_draws}) == 4000


def test_short_clips_take_the_largest_stride_that_fits():
    assert {d.stride for d in draws(sampling(stride=(4, 6)), count=50, clip_frames=22)} == {3}
    exact = draws(sampling(stride=(4, 6)), count=50, clip_frames=8)
    assert {tuple(d.frame_indices) for d in exact} == {tuple(range(8))}


def test_a_range_of_frame_rates_decides_the_stride():
    settings = sampling(target_fps=(7.5, 16))
    assert settings.strides(24.0) == (2, 3)
    assert {d.fps for d in draws(settings, count=200)} == {12.0, 8.0}
    assert settings.strides(60.0) == (4, 8)


@pytest.mark.parametrize(
    ("target", "clip_fps", "stride"),
    [((10, 11), 24.0, 2), ((7, 7.5), 24.0, 3), ((30, 60), 12.0, 1), ((9.8, 10), 24.0, 2)],
)
def test_the_nearest_stride_is_taken_where_none_fits(target, clip_fps, stride):
    assert sampling(target_fps=target).strides(clip_fps) == (stride, stride)


def test_short_clips_may_be_left_out():
    rates = np.array([24.0, 12.0])
    assert sampling(stride=(3, 6)).frames_needed(rates).tolist() == [8, 8]
    assert sampling(stride=(3, 6), short_clips="skip").frames_needed(rates).tolist() == [22, 22]
    by_rate = sampling(target_fps=(4, 8), short_clips="skip")
    assert by_rate.frames_needed(rates).tolist() == [3 * 7 + 1, 2 * 7 + 1]


def test_half_of_the_samples_are_mirrored_if_configured():
    assert not any(d.mirrored for d in draws(sampling(), count=500))
    mirrored = draws(sampling(flip=True), count=4000)
    assert sum(d.mirrored for d in mirrored) / 4000 == pytest.approx(0.5, abs=0.04)
    assert [(d.start, d.noise_seed) for d in mirrored[:50]] == [
        (d.start, d.noise_seed) for d in draws(sampling(), count=50)
    ]


@pytest.mark.parametrize(("condition", "index"), [("first", 0), ("last", 7), (3, 3)])
def test_the_condition_may_be_one_frame_always(condition, index):
    assert {d.condition_index for d in draws(sampling(condition=condition), count=50)} == {index}


def test_the_rate_input_is_true_fps_or_the_stride():
    assert all(d.fps == 24.0 / d.stride for d in draws(sampling(), count=50))
    assert all(d.fps == d.stride for d in draws(sampling(fps_condition="stride"), count=50))


def test_one_setting_does_not_change_what_others_draw():
    random, first = draws(sampling(), count=50), draws(sampling(condition="first", drop_text=0.5), count=50)
    assert [(d.start, d.stride, d.noise_seed) for d in random] == [
        (d.start, d.stride, d.noise_seed) for d in first
    ]
    assert {d.condition_index for d in first} == {0}


@pytest.mark.parametrize(
    "wrong",
    [
        {"stride": (0, 3)},
        {"stride": (4, 2)},
        {"drop_text": 0.5, "drop_image": 0.6},
        {"frame": 3},
        {"target_fps": (8, 4)},
        {"condition": 8},
        {"condition": "middle"},
    ],
)
def test_contradictory_settings_are_refused(wrong):
    with pytest.raises(ValidationError):
        sampling(**wrong)
