"""Which checkpoints stay."""

import pytest

from training.checkpoints.retention import Retention


@pytest.mark.parametrize(
    ("newest", "every", "steps", "deleted"),
    [
        (2, None, [], []),
        (2, None, [10, 20], []),
        (2, None, [10, 20, 30, 40], [10, 20]),
        (1, 20, [10, 20, 30, 40, 50], [10, 30]),
        (2, 100, [10, 20, 30], [10]),
        (3, 10, [10, 20, 30, 40], []),
    ],
)
def test_the_newest_and_every_nth_stay(
    newest: int, every: int | None, steps: list[int], deleted: list[int]
) -> None:
    assert [steps[index] for index in Retention(newest, every).superfluous(steps)] == deleted


def test_of_two_checkpoints_of_a_step_the_later_one_stays() -> None:
    assert Retention(2).superfluous([10, 20, 20]) == [1]
    assert Retention(2, every=10).superfluous([10, 10, 20, 20]) == [0, 2]
