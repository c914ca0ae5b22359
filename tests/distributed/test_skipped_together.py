"""A step that goes wrong in one process is skipped by all, and leaves everything as it was."""

import math

import pytest

from tests.support.guard_jobs import steps_with_faults
from tests.support.training_jobs import FEWER_LAYERS, small_config, write_config

LAYOUTS = [(0, "fp32"), *((stage, precision) for stage in (1, 2, 3) for precision in ("fp32", "bf16"))]
FAST = {(1, "bf16")}
FAULTS = ["nan loss", "nan gradient", "spike"]
LIMIT, RATE = 100.0, 1e-3 / 9
STATE = ["ema", "exp_avg", "exp_avg_sq", "master", "network"]


@pytest.fixture
def outcomes(pair, tmp_path):
    """Seven steps, of which every second one goes wrong in the second process -> what both processes saw."""

    def run(zero_stage, precision, *sets, limit=LIMIT):
        layout = (f"train.zero_stage={zero_stage}", f"train.precision={precision}")
        fixed = ("optimizer.warmup_steps=9", "train.image_batches=0", *FEWER_LAYERS)
        config = small_config(0, *layout, *fixed, *sets)
        return pair.run(steps_with_faults, write_config(config, tmp_path / "c.yaml"), FAULTS, limit)

    return run


def check(outcomes):
    for outcome in outcomes:
        good, bad = (range(start, 7, 2) for start in (0, 1))
        assert outcome["applied"] == [number in good for number in range(7)]
        assert outcome["skipped"] == 3
        assert [outcome["changes"][number] for number in bad] == [[], [], []]
        assert [outcome["changes"][number] for number in good[1:]] == [STATE, STATE, STATE]
        # The schedule does not move in the skipped steps.
        assert outcome["rates"] == pytest.approx([n * RATE for n in (1, 2, 2, 3, 3, 4, 4)])
        assert all(math.isfinite(outcome[name][n]) for name in ("losses", "norms") for n in good)
        assert not any(math.isfinite(outcome["norms"][n]) for n in bad)
        nan_loss, nan_gradient, spike = (outcome["losses"][n] for n in bad)
        assert not math.isfinite(nan_loss) and nan_gradient < LIMIT < spike
    first, second = (str(outcome["losses"]) for outcome in outcomes)
    assert first == second


@pytest.mark.parametrize(
    ("zero_stage", "precision"),
    [pytest.param(*each, marks=() if each in FAST else pytest.mark.slow) for each in LAYOUTS],
)
def test_all_processes_skip_a_step_that_goes_wrong_in_one(outcomes, zero_stage, precision):
    check(outcomes(zero_stage, precision))


@pytest.mark.parametrize(
    ("zero_stage", "precision"),
    [
        (2, "bf16"),
        *(pytest.param(*each, marks=pytest.mark.slow) for each in [(0, "fp32"), (1, "fp32"), (3, "bf16")]),
    ],
)
def test_a_fault_in_the_first_of_several_passes_skips_the_step(outcomes, zero_stage, precision):
    check(outcomes(zero_stage, precision, "train.micro_batch=1"))


@pytest.mark.slow
def test_a_loss_up_to_the_limit_is_applied(outcomes):
    (outcome, _) = outcomes(1, "fp32", limit=1e9)
    assert outcome["applied"] == [True, False, True, False, True, True, True]
