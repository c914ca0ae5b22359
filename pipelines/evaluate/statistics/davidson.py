"""Strengths of systems from votes between two of them, with ties."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize
from scipy.special import logsumexp, stdtrit

from pipelines.evaluate.statistics.intervals import LEAST_SOURCES, Floats

# Standard deviation of the normal prior on log strengths and on the log of the propensity to ties: wide
# beside what votes leave open, and finite, so that a system that won every vote has a finite strength.
PRIOR_DEVIATION = 3.0


class Votes(NamedTuple):
    """One rater's votes between two systems (numbers): for ``first``, ties, and for ``second``."""

    rater: str
    first: int
    second: int
    wins: int
    ties: int
    losses: int


@dataclass(frozen=True)
class Strengths:
    """Log strengths, of mean 0, with half the width of their 95 % intervals; None with too few raters."""

    values: Floats
    halves: Floats | None


def strengths(votes: Sequence[Votes], systems: int) -> Strengths:
    """The Bradley-Terry model with ties of Davidson (1970, JASA 65:317), fitted by L-BFGS.

    Of systems with strengths π, i beats j in proportion to π_i, and ties with it in proportion to
    ν √(π_i π_j). The log likelihood is concave; log π and log ν have a normal prior of deviation
    ``PRIOR_DEVIATION``. The votes of one rater depend on each other, so the variance is the sandwich estimate
    with raters as clusters, times G / (G - 1), and Student's distribution of G - 1 degrees of freedom gives
    the intervals of G raters; fewer than ``LEAST_SOURCES`` give none.
    """
    design = _Design(votes, systems)
    fitted = minimize(design.loss, np.zeros(systems + 1), jac=True, method="L-BFGS-B", options={"gtol": 1e-9})
    parameters = np.asarray(fitted.x, np.float64)
    centring = np.eye(systems + 1)[:systems] - np.append(np.full(systems, 1 / systems), 0.0)
    raters = sorted({each.rater for each in votes})
    if len(raters) < LEAST_SOURCES:
        return Strengths(centring @ parameters, None)
    scores = design.scores(parameters, raters)
    inverse = np.linalg.inv(design.information(parameters))
    groups = len(raters)
    covariance = inverse @ (scores.T @ scores * groups / (groups - 1)) @ inverse
    variances = np.einsum("ij,jk,ik->i", centring, covariance, centring)
    quantile = float(stdtrit(groups - 1, 0.975))
    return Strengths(centring @ parameters, quantile * np.sqrt(variances))


class _Design:
    """The likelihood: each row of ``features`` [votes, 3 outcomes, parameters] gives the log odds of an
    outcome; parameters are the log strengths, then log ν."""

    def __init__(self, votes: Sequence[Votes], systems: int) -> None:
        self._raters = [each.rater for each in votes]
        self._counts = np.array([[each.wins, each.ties, each.losses] for each in votes], np.float64)
        self._features = np.zeros((len(votes), 3, systems + 1))
        for number, each in enumerate(votes):
            self._features[number, 0, each.first] = self._features[number, 2, each.second] = 1
            self._features[number, 1, [each.first, each.second]] = 0.5
            self._features[number, 1, systems] = 1

    def loss(self, parameters: Floats) -> tuple[float, Floats]:
        """Minus the log posterior, and its gradient."""
        odds = self._features @ parameters
        likelihood = float((self._counts * (odds - logsumexp(odds, axis=1, keepdims=True))).sum())
        prior = float(parameters @ parameters) / (2 * PRIOR_DEVIATION**2)
        gradient = self._gradients(parameters).sum(axis=0) - parameters / PRIOR_DEVIATION**2
        return prior - likelihood, -gradient

    def scores(self, parameters: Floats, raters: Sequence[str]) -> Floats:
        """Gradient of each rater's log likelihood [raters, parameters]."""
        numbers = {name: number for number, name in enumerate(raters)}
        scores = np.zeros((len(raters), len(parameters)))
        np.add.at(scores, [numbers[name] for name in self._raters], self._gradients(parameters))
        return scores

    def information(self, parameters: Floats) -> Floats:
        """Second derivatives of minus the log posterior."""
        shares = self._shares(parameters)
        weights = shares * self._counts.sum(axis=1, keepdims=True)
        mean = np.einsum("vo,vop->vp", shares, self._features)
        second = np.einsum("vo,vop,voq->pq", weights, self._features, self._features)
        second -= np.einsum("v,vp,vq->pq", weights.sum(axis=1), mean, mean)
        information: Floats = second + np.eye(len(parameters)) / PRIOR_DEVIATION**2
        return information

    def _gradients(self, parameters: Floats) -> Floats:
        expected = self._shares(parameters) * self._counts.sum(axis=1, keepdims=True)
        gradients: Floats = np.einsum("vo,vop->vp", self._counts - expected, self._features)
        return gradients

    def _shares(self, parameters: Floats) -> Floats:
        """Probability of each outcome [votes, 3]."""
        odds = self._features @ parameters
        shares: Floats = np.exp(odds - logsumexp(odds, axis=1, keepdims=True))
        return shares
