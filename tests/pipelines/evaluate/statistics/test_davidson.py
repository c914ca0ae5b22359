"""Strengths from votes with ties."""

import numpy as np
import pytest
from numpy.random import Generator

from pipelines.evaluate.statistics.davidson import Votes, strengths

TRUE = np.array([0.8, 0.1, -0.9])


def draw_votes(generator: Generator, raters: int, each: int, spread: float = 0.0) -> list[Votes]:
    """Votes by Davidson's model with ν = 0.7; strengths differ between raters by ``spread``."""
    votes = []
    for rater in range(raters):
        own = TRUE + generator.normal(0, spread, len(TRUE))
        for first, second in ((0, 1), (0, 2), (1, 2)):
            odds = np.exp([own[first], np.log(0.7) + (own[first] + own[second]) / 2, own[second]])
            counts = generator.multinomial(each, odds / odds.sum())
            votes.append(Votes(f"r{rater:02d}", first, second, *map(int, counts)))
    return votes


def test_two_systems_have_the_closed_form_of_the_likelihood() -> None:
    """Of 3000 wins and 1000 losses the difference is log 3, whatever the ties; the prior adds little."""
    votes = [Votes(f"r{n}", 0, 1, 300, 200, 100) for n in range(10)]
    fitted = strengths(votes, 2)
    assert fitted.values == pytest.approx([np.log(3) / 2, -np.log(3) / 2], abs=1e-3)
    assert fitted.halves == pytest.approx([0, 0], abs=1e-3)  # raters agree exactly


def test_a_system_that_wins_every_vote_has_a_finite_strength() -> None:
    fitted = strengths([Votes(f"r{n}", 0, 1, 5, 0, 0) for n in range(6)], 2)
    assert np.isfinite(fitted.values).all()
    assert fitted.values[0] > 1


def test_fewer_than_five_raters_give_no_interval() -> None:
    assert strengths(draw_votes(np.random.default_rng(0), 4, 10), 3).halves is None


def test_intervals_cover_where_raters_differ() -> None:
    """Of 30 simulated studies the 95 % intervals contain the truth in 90 % at least."""
    generator, covered = np.random.default_rng(5), []
    for _ in range(30):
        fitted = strengths(draw_votes(generator, raters=20, each=8, spread=0.3), 3)
        assert fitted.halves is not None
        covered += list(np.abs(fitted.values - TRUE) <= fitted.halves)
    assert 0.9 <= np.mean(covered) <= 1
