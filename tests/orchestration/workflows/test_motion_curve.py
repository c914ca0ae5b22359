"""The curve of a calibration: from what a network was given to what its clips moved by."""

import pytest

from core.errors import AnimaticError
from orchestration.workflows.motion_curve import curve


def test_a_rising_curve_goes_through_its_means():
    assert curve([1, 2, 4], [0.1, 0.2, 0.5]) == [(1, 0.1), (2, 0.2), (4, 0.5)]


def test_values_without_effect_at_an_end_stand_for_the_one_from_which_motion_changes():
    assert curve([1, 2, 4, 8], [0.5, 0.3, 0.9, 0.9]) == [(2, pytest.approx(0.4)), (4, 0.9)]


def test_values_without_effect_within_the_curve_are_one_point_between_them():
    assert curve([1, 2, 4, 8], [0.1, 0.6, 0.4, 0.9]) == [(1, 0.1), (3, pytest.approx(0.5)), (8, 0.9)]


def test_a_curve_that_does_not_rise_is_refused():
    with pytest.raises(AnimaticError, match=r"measured 0\.5 for 1, 0\.4 for 2\): train it longer"):
        curve([1, 2], [0.5, 0.4])
