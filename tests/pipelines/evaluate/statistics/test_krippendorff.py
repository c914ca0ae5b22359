"""Agreement of raters, against published figures."""

import pytest

from pipelines.evaluate.statistics.krippendorff import krippendorff_alpha

# Krippendorff (2011), example C: four observers, twelve units, missing values.
OBSERVERS = (
    (1, 2, 3, 3, 2, 1, 4, 1, 2, 0, 0, 0),
    (1, 2, 3, 3, 2, 2, 4, 1, 2, 5, 0, 3),
    (0, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, 0),
    (1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, 0),
)


def test_alpha_is_that_of_the_published_example() -> None:
    units = [[value - 1 for value in unit if value] for unit in zip(*OBSERVERS, strict=True)]
    assert krippendorff_alpha(units, categories=5) == pytest.approx(0.815, abs=5e-4)


def test_alpha_is_1_for_perfect_agreement_and_negative_for_opposites() -> None:
    assert krippendorff_alpha([[0, 0, 0], [2, 2], [1, 1, 1]], categories=3) == 1
    opposites = krippendorff_alpha([[0, 2], [2, 0], [0, 2]], categories=3)
    assert opposites is not None and opposites < 0


def test_alpha_is_undefined_where_nothing_can_disagree() -> None:
    assert krippendorff_alpha([[0], [1], [2]], categories=3) is None
    assert krippendorff_alpha([[1, 1], [1, 1]], categories=3) is None
    assert krippendorff_alpha([], categories=3) is None
