"""The kernel distance against another computation, its bias, and its interval."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import AnimaticError
from pipelines.evaluate.statistics import kernel
from pipelines.evaluate.statistics.kernel import blocks_of_sources, kernel_distance


def by_loops(first, second):
    """The unbiased estimate written out as double sums."""

    def k(x, y):
        return (x @ y / len(x) + 1) ** 3

    n, m = len(first), len(second)
    xx = sum(k(first[i], first[j]) for i in range(n) for j in range(n) if i != j)
    yy = sum(k(second[i], second[j]) for i in range(m) for j in range(m) if i != j)
    xy = sum(k(x, y) for x in first for y in second)
    return xx / (n * (n - 1)) + yy / (m * (m - 1)) - 2 * xy / (n * m)


def test_distance_is_the_double_sum_without_its_diagonal():
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(9, 4)), rng.normal(size=(13, 4)) + 0.3
    assert kernel_distance(first, second).value == pytest.approx(by_loops(first, second), rel=1e-12)


def test_pieces_do_not_change_the_distance(monkeypatch):
    rng = np.random.default_rng(1)
    first, second = rng.normal(size=(23, 4)), rng.normal(size=(17, 4)) + 0.3
    whole = kernel_distance(first, second)
    monkeypatch.setattr(kernel, "_ROWS", 5)
    pieces = kernel_distance(first, second)
    assert pieces.interval == pytest.approx(whole.interval, rel=1e-10)


def test_estimate_is_unbiased_and_may_be_negative():
    """Over many pairs of small samples of one distribution the mean is 0."""
    rng = np.random.default_rng(2)
    values = [kernel_distance(*rng.normal(size=(2, 8, 3))).value for _ in range(400)]
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(len(values))
    assert min(values) < 0


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10**6))
def test_distance_is_symmetric_and_depends_on_neither_order_nor_rotation(seed):
    rng = np.random.default_rng(seed)
    first, second = rng.normal(size=(7, 5)), rng.normal(size=(6, 5)) + 1
    rotation = np.linalg.qr(rng.normal(size=(5, 5)))[0]
    others = [
        kernel_distance(second, first).value,
        kernel_distance(rng.permutation(first), rng.permutation(second)).value,
        kernel_distance(first @ rotation, second @ rotation).value,
    ]
    assert others == pytest.approx([kernel_distance(first, second).value] * 3, rel=1e-9, abs=1e-12)


def test_interval_covers_the_expected_distance_of_paired_clips():
    """MMD² of N(0, 1) and N(a, 1) in one dimension: E[(xy + 1)³] = 1 + 3 E[x]E[y] + 3 E[x²]E[y²] + …"""
    shift = 1.0
    moments = [(0.0, 1.0, 0.0), (shift, 1 + shift**2, 3 * shift + shift**3)]

    def expected(p, q):
        return 1 + 3 * p[0] * q[0] + 3 * p[1] * q[1] + p[2] * q[2]

    within = [expected(p, p) for p in moments]
    true = sum(within) - 2 * expected(*moments)
    rng = np.random.default_rng(3)
    covered = 0
    for _ in range(100):
        shared = rng.normal(size=(200, 1)) / np.sqrt(2)
        first = shared + rng.normal(size=(200, 1)) / np.sqrt(2)
        second = shared + rng.normal(size=(200, 1)) / np.sqrt(2) + shift
        _, low, high = kernel_distance(first, second, np.arange(200) // 10).interval
        covered += low <= true <= high
    assert 85 <= covered <= 100


def test_clips_of_one_source_share_a_block_and_blocks_are_equal():
    sources = [f"video {n % 30}" for n in range(90)] + ["long"] * 6
    blocks = blocks_of_sources(sources)
    assert all(len({blocks[n] for n, other in enumerate(sources) if other == name}) == 1 for name in sources)
    assert len(set(blocks)) == 31
    assert len(set(blocks_of_sources([str(n) for n in range(1000)]))) == kernel.MAX_BLOCKS
    assert set(np.bincount(blocks_of_sources([str(n) for n in range(1000)]))) == {20}


def test_a_single_source_gives_a_value_without_an_interval():
    rng = np.random.default_rng(4)
    found = kernel_distance(*rng.normal(size=(2, 6, 3)), blocks_of_sources(["one"] * 6))
    assert np.isfinite(found.value)
    assert (found.interval.low, found.interval.high) == (None, None)


def test_rows_that_cannot_be_compared_are_refused():
    rows = np.ones((5, 3))
    with pytest.raises(AnimaticError, match=r"at least 2 rows .* not 1"):
        kernel_distance(rows[:1], rows)
    with pytest.raises(AnimaticError, match="3 and 4 dimensions"):
        kernel_distance(rows, np.ones((5, 4)))
    broken = rows.copy()
    broken[3, 0] = np.inf
    with pytest.raises(AnimaticError, match=r"b\.npy: row 3 is not finite"):
        kernel_distance(rows, broken, names=("a.npy", "b.npy"))
