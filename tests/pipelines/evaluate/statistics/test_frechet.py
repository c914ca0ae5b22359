"""The Fréchet distance against closed forms and another computation."""

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import AnimaticError
from pipelines.evaluate.statistics.frechet import frechet_distance
from pipelines.evaluate.statistics.moments import Moments

COUNT = 40


def moments(rows, blocks=1):
    return Moments.of(np.array_split(rows, blocks), "rows")


def with_moments(mean, covariance, seed, count=COUNT):
    """Rows whose mean and covariance (over N) are exactly these."""
    rows = np.random.default_rng(seed).normal(size=(count, len(mean)))
    rows -= rows.mean(axis=0)
    whitening = np.linalg.inv(np.linalg.cholesky(rows.T @ rows / count))
    return rows @ whitening.T @ np.linalg.cholesky(np.asarray(covariance)).T + np.asarray(mean)


def by_sqrtm(first, second, ddof):
    """The published form, with scipy's square root of the product."""
    one, two = np.cov(first.T, ddof=ddof), np.cov(second.T, ddof=ddof)
    shift = first.mean(axis=0) - second.mean(axis=0)
    return shift @ shift + np.trace(one + two - 2 * scipy.linalg.sqrtm(one @ two).real)


def test_distance_of_gaussians_with_commuting_covariances_has_its_closed_form():
    first = with_moments([0, 0, 0], np.diag([1.0, 4.0, 9.0]), seed=1)
    second = with_moments([1, 2, 2], np.diag([4.0, 1.0, 25.0]), seed=2)
    expected = 9 + (1 - 2) ** 2 + (2 - 1) ** 2 + (3 - 5) ** 2
    assert frechet_distance(moments(first), moments(second)) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("covariance", "ddof"), [("n", 0), ("n-1", 1)])
def test_distance_agrees_with_the_published_form(covariance, ddof):
    rng = np.random.default_rng(3)
    mix = rng.normal(size=(6, 6))
    first, second = rng.normal(size=(50, 6)) @ mix, rng.normal(size=(30, 6)) + 0.5
    ours = frechet_distance(moments(first, 4), moments(second, 3), covariance)
    assert ours == pytest.approx(by_sqrtm(first, second, ddof), rel=1e-8)


def test_distance_to_itself_is_zero_with_fewer_rows_than_dimensions():
    rows = np.random.default_rng(4).normal(size=(8, 60))
    value = frechet_distance(moments(rows), moments(rows))
    assert 0 <= value < 1e-5


def test_a_large_mean_costs_no_digits():
    rng = np.random.default_rng(5)
    first, second = rng.normal(size=(64, 4)), rng.normal(size=(64, 4)) * 2
    shifted = frechet_distance(moments(first + 1e7, 8), moments(second + 1e7, 8))
    assert shifted == pytest.approx(frechet_distance(moments(first), moments(second)), rel=1e-6)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10**6), blocks=st.integers(1, 9))
def test_distance_is_symmetric_and_depends_on_neither_order_blocks_nor_rotation(seed, blocks):
    rng = np.random.default_rng(seed)
    first, second = rng.normal(size=(12, 5)), 2 * rng.normal(size=(17, 5)) + 1
    value = frechet_distance(moments(first), moments(second))
    rotation = np.linalg.qr(rng.normal(size=(5, 5)))[0]
    others = [
        frechet_distance(moments(second), moments(first)),
        frechet_distance(moments(rng.permutation(first), blocks), moments(second, blocks)),
        frechet_distance(moments(first @ rotation), moments(second @ rotation)),
    ]
    assert others == pytest.approx([value] * 3, rel=1e-9)


def test_the_row_that_is_not_finite_is_named():
    rows = np.ones((10, 3))
    rows[8, 1] = 1e200
    with pytest.raises(AnimaticError, match=r"generated clips: row 8 has values beyond ±1e\+40"):
        Moments.of([rows], "generated clips")
    rows[7, 1] = np.nan
    with pytest.raises(AnimaticError, match="generated clips: row 7 is not finite"):
        Moments.of(np.array_split(rows, 4), "generated clips")


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_rows_have_no_distance(count):
    two = moments(np.ones((2, 3)))
    with pytest.raises(AnimaticError, match=f"at least 2 rows .* not {count}"):
        frechet_distance(two, moments(np.ones((count, 3))))


def test_features_of_two_dimensions_are_refused():
    with pytest.raises(AnimaticError, match="3 and 4 dimensions"):
        frechet_distance(moments(np.ones((5, 3))), moments(np.ones((5, 4))))
