"""The learning rate of each step."""

from itertools import pairwise

import pytest

from training.backends.schedule import learning_rate
from training.config.sections import OptimizerConfig


def rates(steps: int = 10, **options) -> list[float]:
    chosen = OptimizerConfig(**{"lr": 1e-3, "warmup_steps": 4, **options})
    return [learning_rate(chosen, steps, step) for step in range(1, 13)]


def test_without_a_schedule_the_rate_warms_up_linearly_and_then_stays():
    assert rates() == pytest.approx([0.25e-3, 0.5e-3, 0.75e-3, *[1e-3] * 9])
    assert rates(warmup_steps=0) == [1e-3] * 12


def test_a_linear_schedule_ends_at_its_last_rate_and_stays_there():
    falling = rates(schedule="linear", final_lr=1e-4)
    assert falling[:4] == pytest.approx([0.25e-3, 0.5e-3, 0.75e-3, 1e-3])
    assert falling[3:] == pytest.approx([1e-3, 8.5e-4, 7e-4, 5.5e-4, 4e-4, 2.5e-4, 1e-4, 1e-4, 1e-4])


def test_a_cosine_schedule_falls_slowly_at_both_ends():
    falling = rates(schedule="cosine", final_lr=1e-4)
    # cos(0, pi/6, ..., pi) between the two rates.
    expected = [1e-3, 9.397e-4, 7.75e-4, 5.5e-4, 3.25e-4, 1.603e-4, 1e-4, 1e-4, 1e-4]
    assert falling[3:] == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_a_schedule_ends_after_its_own_steps_or_those_of_the_run(schedule):
    own, whole = rates(schedule=schedule, decay_steps=8), rates(8, schedule=schedule)
    assert own == whole and own[7:] == [0.0] * 5 and min(own[:7]) > 0
    # Without a warm-up the first step has the full rate, and the rate never rises.
    straight = rates(schedule=schedule, warmup_steps=0)
    assert straight[0] == 1e-3 and all(one >= other for one, other in pairwise(straight))
