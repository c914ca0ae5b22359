"""Intervals over clips cover what they should, however clips are grouped, and their tests agree with them."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pipelines.evaluate.statistics import intervals
from pipelines.evaluate.statistics.holm import holm
from pipelines.evaluate.statistics.intervals import (
    Estimate,
    bootstrap_by_source,
    jackknife,
    mean_interval,
    paired_share,
    share_interval,
    wilson,
)

FINITE = st.floats(-1e3, 1e3)


def each_its_own(count: int) -> list[str]:
    return [f"video-{n}" for n in range(count)]


def test_the_bootstrap_agrees_with_students_interval_of_a_mean():
    values = list(np.random.default_rng(0).normal(5, 2, 60))
    found = bootstrap_by_source(values, each_its_own(60))
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    interval = found.interval()
    assert found.value == pytest.approx(np.mean(values))
    assert found.standard_error == pytest.approx(stats.sem(values), rel=0.03)
    assert (interval.low, interval.high) == pytest.approx(tuple(expected), abs=0.03)


def test_clips_of_one_source_count_as_one_however_many_there_are():
    """A source repeated ten times adds nothing: the interval is that of the sources."""
    means = list(np.random.default_rng(1).normal(0, 1, 20))
    alone = mean_interval(means, each_its_own(20))
    repeated = mean_interval([value for value in means for _ in range(10)],
                             [name for name in each_its_own(20) for _ in range(10)])  # fmt: skip
    assert (repeated.low, repeated.high) == pytest.approx((alone.low, alone.high))
    independent = mean_interval([value for value in means for _ in range(10)], each_its_own(200))
    assert independent.high - independent.low < (alone.high - alone.low) / 2.5


@pytest.mark.parametrize(("sources", "clips_each"), [(8, 1), (8, 4), (30, 3)])
def test_intervals_cover_the_mean_of_few_sources(monkeypatch, sources, clips_each):
    """Plain percentiles of 8 sources cover about 89 %."""
    monkeypatch.setattr(intervals, "RESAMPLES", 2_000)
    rng, covered, trials = np.random.default_rng(2), 0, 400
    names = [name for name in each_its_own(sources) for _ in range(clips_each)]
    for _ in range(trials):
        values = np.repeat(rng.normal(0, 1, sources), clips_each) + rng.normal(0, 0.5, len(names))
        interval = mean_interval(list(values), names)
        covered += interval.low <= 0 <= interval.high
    assert 0.92 <= covered / trials <= 0.98


@given(st.lists(st.tuples(FINITE, st.integers(0, 6)), min_size=1, max_size=20), st.randoms())
@settings(max_examples=30, deadline=None)
def test_the_result_does_not_depend_on_the_order_of_clips(monkeypatch_module, rows, random):
    shuffled = rows.copy()
    random.shuffle(shuffled)
    first, second = (
        bootstrap_by_source([value for value, _ in each], [f"v{name}" for _, name in each])
        for each in (rows, shuffled)
    )
    assert first.value == second.value
    assert np.array_equal(first.draws, second.draws)
    interval = first.interval()
    assert (interval.low is None) == (first.sources < intervals.LEAST_SOURCES)
    if interval.low is not None:
        assert interval.low <= interval.high


@pytest.fixture(scope="module")
def monkeypatch_module():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(intervals, "RESAMPLES", 500)
        yield patch


def estimates() -> list[Estimate]:
    rng = np.random.default_rng(3)
    names = [name for name in each_its_own(12) for _ in range(3)]
    before, after = rng.integers(0, 2, 36).astype(float), rng.integers(0, 2, 36).astype(float)
    return [
        bootstrap_by_source(list(rng.normal(0.3, 1, 36)), names),
        paired_share(list(before), list(after), names),
        jackknife(list(rng.normal(2, 0.1, 10)), 2.0),
    ]


@pytest.mark.parametrize("number", range(3))
def test_a_bound_is_rejected_where_it_is_outside_of_the_interval(number):
    estimate = estimates()[number]
    interval = estimate.interval()
    width = interval.high - interval.low
    for outside, inside in ((-0.05, 0.05), (-0.5, 0.5)):
        assert estimate.p_above(interval.low + outside * width) < 0.025
        assert estimate.p_above(interval.low + inside * width) > 0.025
        assert estimate.p_below(interval.high - outside * width) < 0.025
        assert estimate.p_below(interval.high - inside * width) > 0.025
    bounds = np.linspace(interval.low - width, interval.high + width, 30)
    tests = [estimate.p_above(bound) for bound in bounds]
    assert tests == sorted(tests)


def test_without_sources_each_clip_is_its_own():
    values = list(np.random.default_rng(5).normal(0, 1, 20))
    assert mean_interval(values) == mean_interval(values[::-1])
    named = mean_interval(values, each_its_own(20))
    # Another order of the sources draws other resamples: their quantiles have a standard error of 0.008.
    assert tuple(mean_interval(values)) == pytest.approx(tuple(named), abs=0.04)


def test_equal_values_have_an_interval_without_width_and_few_sources_none():
    same = bootstrap_by_source([0.1] * 7, each_its_own(7))
    assert (same.interval().low, same.interval().high, same.standard_error) == (0.1, 0.1, 0.0)
    assert same.p_above(0.1) > 0.5 and same.p_below(0.1) > 0.5
    few = bootstrap_by_source([1.0, 2.0, 3.0, 4.0], each_its_own(4))
    assert few.interval() == (2.5, None, None)
    assert paired_share([1.0] * 4, [0.0] * 4, each_its_own(4)).interval() == (-1.0, None, None)
    assert share_interval([1.0] * 4, ["a"] * 4) == (1.0, *wilson(1, 1))
    assert few.p_above(-100) == few.p_below(100) == 1.0


def test_shares_without_a_discordant_pair_keep_an_interval_with_width():
    """With 48 pairs that all agree, a loss of 5 points is not excluded, one of 6 is (Bonett and Price)."""
    interval = paired_share([1.0] * 48, [1.0] * 48, each_its_own(48)).interval()
    expected = stats.norm.ppf(0.975) * math.sqrt(2 / 50 / 50)
    assert (interval.low, interval.high) == pytest.approx((-expected, expected))
    assert -0.06 < interval.low < -0.05
    one_source_each = paired_share([1.0] * 480, [1.0] * 480, each_its_own(48) * 10).interval()
    assert (one_source_each.low, one_source_each.high) == pytest.approx((interval.low, interval.high))


def test_wilsons_interval_agrees_with_scipy_and_is_widened_for_clips_of_one_source():
    for successes, trials in ((0, 5), (3, 10), (48, 48)):
        expected = stats.binomtest(successes, trials).proportion_ci(0.95, "wilson")
        found = wilson(successes, trials)
        assert found == pytest.approx((expected.low, expected.high))
    values = [1.0] * 30 + [0.0] * 10
    alone = share_interval(values, each_its_own(40))
    assert alone == (0.75, *wilson(30, 40))
    assert share_interval(values) == alone
    grouped = share_interval(values, [f"v{n // 4}" for n in range(40)])
    assert grouped.low < alone.low and grouped.high > alone.high


def test_the_jackknife_of_a_mean_is_its_standard_error():
    values = np.random.default_rng(4).normal(0, 1, 25)
    left_out = [float(np.delete(values, n).mean()) for n in range(25)]
    found = jackknife(left_out, float(values.mean()))
    assert found.standard_error == pytest.approx(stats.sem(values))
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (found.interval().low, found.interval().high) == pytest.approx(tuple(expected))


def test_what_has_no_mean_is_refused():
    for values, sources in (([], []), ([1.0], []), ([math.nan], ["a"]), ([math.inf], ["a"])):
        with pytest.raises(ValueError, match=r"values of 0|values of|not finite"):
            bootstrap_by_source(values, sources)
    for call in (lambda: paired_share([0.5], [1.0], ["a"]), lambda: share_interval([2.0], ["a"])):
        with pytest.raises(ValueError, match="values that are 0 or 1"):
            call()
    with pytest.raises(ValueError, match="0 trials"):
        wilson(0, 0)
    with pytest.raises(ValueError, match="two finite"):
        jackknife([1.0], 1.0)


@given(st.lists(st.floats(0, 1), max_size=8))
def test_holm_never_lowers_a_p_value_and_keeps_their_order(p_values):
    adjusted = holm(p_values)
    assert all(p <= a <= 1 for p, a in zip(p_values, adjusted, strict=True))
    pairs = sorted(zip(p_values, adjusted, strict=True))
    assert [a for _, a in pairs] == sorted(a for _, a in pairs)
    assert not p_values or min(adjusted) == min(1.0, min(p_values) * len(p_values))


def test_holm_steps_down():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
