"""The search finds the leaders of the definition, whatever the shapes in which it works."""

import time

import numpy as np
import pytest

from pipelines.similar import leaders as module
from pipelines.similar.leaders import NOBODY, Found, LeaderSearch
from pipelines.similar.vectors import principal_basis, tolerance, vectors
from tests.support.alike import embeddings, leaders


def search(stored: np.ndarray, threshold: float, sizes: tuple[int, ...] = (8, 32)) -> tuple[Found, int]:
    """Leaders, and the number of pairs compared in full."""
    found, finder = Found.nothing(len(stored)), LeaderSearch(threshold)
    basis = principal_basis(stored[:500], sizes, threshold)
    finder.among_themselves(vectors(stored, basis, "cpu"), np.arange(len(stored)), found)
    return found, finder.work.compared


@pytest.mark.parametrize(("width", "threshold"), [(16, 0.95), (64, 0.9), (128, 0.8), (128, 0.99)])
def test_leaders_are_those_of_the_definition(width: int, threshold: float) -> None:
    stored = embeddings(1200, width, seed=width, planted=300)
    expected = leaders(stored, threshold)
    followers = [n for n, leader in enumerate(expected) if leader != n]
    assert 20 < len(followers) < 1100
    found, _ = search(stored, threshold)
    assert found.leader.tolist() == expected
    exact = stored.astype(np.float64)
    for row in followers[:50]:
        pair = exact[[row, expected[row]]]
        assert found.cosine[row] == np.float32(pair[0] @ pair[1] / np.sqrt(np.prod(np.square(pair).sum(1))))


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (7, 3), (64, 1000), (1000, 64)])
def test_the_shape_of_tiles_changes_nothing(monkeypatch: pytest.MonkeyPatch, rows: int, columns: int) -> None:
    stored = embeddings(80, 32, seed=3, planted=40)
    expected, _ = search(stored, 0.9)
    monkeypatch.setattr(module, "ROWS", rows)
    monkeypatch.setattr(module, "COLUMNS", columns)
    found, _ = search(stored, 0.9)
    assert found.leader.tolist() == expected.leader.tolist() == leaders(stored, 0.9)
    assert found.cosine.tolist() == expected.cosine.tolist()


def test_a_cosine_at_the_threshold_is_decided_exactly() -> None:
    stored = embeddings(400, 96, seed=5)
    exact = stored.astype(np.float64)
    square = np.square(exact).sum(1)
    cosines = np.sort((exact @ exact.T / np.sqrt(np.outer(square, square)))[np.triu_indices(400, 1)])
    for threshold in cosines[[-2, -50, -400, -4000]].tolist():
        doubtful = (np.abs(cosines - threshold) < tolerance(96)).sum()
        assert doubtful >= 1  # float32 alone would decide some of them by chance
        for least in (threshold, float(np.nextafter(threshold, 2))):
            assert search(stored, least)[0].leader.tolist() == leaders(stored, least)


def test_equal_embeddings_are_similar_at_a_threshold_of_one() -> None:
    stored = np.repeat(embeddings(40, 48, seed=7), 3, axis=0)
    assert search(stored, 1.0)[0].leader.tolist() == [n // 3 * 3 for n in range(120)]


def test_a_hundred_thousand_black_clips_are_compared_with_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROWS", 512)
    stored = np.repeat(embeddings(1, 64, seed=1), 100_000, axis=0)
    started = time.process_time()
    found, compared = search(stored, 0.95)
    assert (found.leader == 0).all()
    assert compared < 100_000 + 512 * 512
    assert time.process_time() - started < 20


def test_the_bound_saves_comparisons_and_any_basis_is_valid() -> None:
    stored = embeddings(1500, 128, seed=9, planted=100)
    expected = leaders(stored, 0.95)
    with_bound, without = search(stored, 0.95), search(stored, 0.95, sizes=())
    assert with_bound[0].leader.tolist() == without[0].leader.tolist() == expected
    assert with_bound[1] < without[1] / 4
    random, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(128, 8)))
    found = Found.nothing(len(stored))
    LeaderSearch(0.95).among_themselves(vectors(stored, random, "cpu"), np.arange(1500), found)
    assert found.leader.tolist() == expected


def test_earlier_leaders_come_before_those_of_the_block() -> None:
    stored = embeddings(900, 64, seed=11, planted=300)
    expected = leaders(stored, 0.9)
    basis = principal_basis(stored, (16,), 0.9)
    finder, whole = LeaderSearch(0.9), vectors(stored, basis, "cpu")
    first, second = Found.nothing(400), Found.nothing(500)
    finder.among_themselves(whole[:400], np.arange(400), first)
    mine = np.flatnonzero(first.leader == np.arange(400))
    finder.among_earlier(whole[400:], mine[:100], vectors(stored[mine[:100]], basis, "cpu"), second)
    assert (second.leader == NOBODY).any()
    finder.among_earlier(whole[400:], mine[100:], vectors(stored[mine[100:]], basis, "cpu"), second)
    finder.among_themselves(whole[400:], np.arange(400, 900), second)
    assert [*first.leader, *second.leader] == expected
