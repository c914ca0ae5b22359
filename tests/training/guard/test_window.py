"""The limit of the loss: median and median absolute deviation of the last applied steps."""

import random

import pytest

from training.guard.window import LossWindow


def filled(losses: list[float], size: int = 9, deviations: float = 3.0) -> LossWindow:
    window = LossWindow(size, deviations)
    for loss in losses:
        window.add(loss)
    return window


def test_the_limit_is_the_median_and_deviations_of_the_last_losses():
    # Median 5; deviations 0 1 1 2 2 3 3 4 4, of which the median is 2.
    losses = [1.0, 9.0, 2.0, 8.0, 3.0, 7.0, 4.0, 6.0, 5.0]
    assert filled(losses).limit == 5 + 3 * 2
    assert filled([100.0, *losses]).limit == 5 + 3 * 2
    assert filled(losses, deviations=0.5).limit == 5 + 0.5 * 2


def test_until_the_window_is_full_there_is_no_limit():
    window = filled([1.0, 2.0] * 4)
    assert window.limit is None
    window.add(1.5)
    assert window.limit is not None


def test_a_few_outliers_do_not_move_the_limit():
    draws = random.Random(0)
    usual = [draws.gauss(1.0, 0.1) for _ in range(100)]
    limit = filled(usual, size=100, deviations=10).limit
    spiked = filled([*usual[:90], *[50.0] * 10], size=100, deviations=10).limit
    assert limit is not None and spiked == pytest.approx(limit, rel=0.2)


def test_equal_losses_set_no_limit():
    assert filled([1.0] * 9).limit is None
    assert filled([1.0] * 5 + [2.0] * 4).limit is None


def test_a_restored_window_goes_on_alike():
    window, other = filled([float(n % 5) for n in range(9)]), filled([7.0] * 9)
    other.restore(window.losses)
    for loss in (0.5, 4.5):
        window.add(loss)
        other.add(loss)
        assert window.losses == other.losses and window.limit == other.limit
