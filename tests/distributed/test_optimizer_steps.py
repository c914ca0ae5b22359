"""What one optimizer step makes of the gradients, in two processes under every stage of ZeRO.

With an ``eps`` far above the gradients, AdamW's first step moves the weights by the gradient times lr / eps.
"""

import numpy as np
import pytest

from tests.support.training_jobs import (
    BY_THE_GRADIENT,
    FEWER_LAYERS,
    drive_backend,
    small_config,
    write_config,
)

PLAIN = (*BY_THE_GRADIENT, "train.micro_batch=1", *FEWER_LAYERS)


def drive(pair, folder, rows, *sets, steps=(1,)):
    samples = f"train.global_batch={sum(map(len, rows))}"
    path = write_config(small_config(0, *PLAIN, samples, *sets), folder / "config.yaml")
    return pair.run(drive_backend, path, rows, list(steps))[0]


def distance(one: np.ndarray, other: np.ndarray) -> float:
    """Relative to the norm of ``other``."""
    return float(np.linalg.norm(one - other) / np.linalg.norm(other))


@pytest.mark.parametrize(
    ("zero_stage", "precision"),
    [(0, "fp32"), pytest.param(1, "bf16", marks=pytest.mark.slow), (2, "fp32")],
)
def test_gradients_are_clipped_and_the_rate_warms_up(pair, tmp_path, zero_stage, precision):
    sets = (f"train.zero_stage={zero_stage}", f"train.precision={precision}", "optimizer.warmup_steps=4")
    free = drive(pair, tmp_path, [[1], [2]], *sets, steps=(1, 9))
    clipped = drive(pair, tmp_path, [[1], [2]], *sets, f"optimizer.grad_clip={free['norms'][0] / 10}")
    assert free["rates"] == [2500, 10_000]
    assert np.linalg.norm(free["moved"]) == pytest.approx(free["norms"][0] / 4, rel=1e-3)
    # What is reported is the norm before clipping.
    assert clipped["norms"] == pytest.approx(free["norms"][:1])
    assert distance(clipped["moved"], free["moved"] / 10) < 1e-2


def test_dropout_masks_follow_the_step(pair, tmp_path):
    sets = ("model.unet.dropout=0.5", "optimizer.lr=1e-30")
    first, second, again = drive(pair, tmp_path, [[1], [2]], *sets, steps=(1, 2, 1))["losses"]
    assert first == again != second


@pytest.mark.parametrize(
    ("precision", "zero_stages"),
    [
        pytest.param("bf16", (2,), id="bf16"),
        pytest.param("bf16", (1, 3), id="bf16-others", marks=pytest.mark.slow),
        pytest.param("autocast-bf16", (2,), id="autocast", marks=pytest.mark.slow),
    ],
)
def test_gradients_are_summed_in_float32_over_passes_and_processes(pair, tmp_path, precision, zero_stages):
    chosen = f"train.precision={precision}"
    one, two = (drive(pair, tmp_path, [[row], [row]], chosen)["moved"].astype("float64") for row in (1, 2))
    assert distance(one, two) > 0.1
    rows, mean = [[1, 1, 1, 2], [2, 2, 2, 2]], (3 * one + 5 * two) / 8
    for stage in zero_stages:
        summed = drive(pair, tmp_path, rows, chosen, f"train.zero_stage={stage}")
        # Stage 3 gathers its weights, which changes the rounding of the passes a little.
        assert distance(summed["moved"], mean) < (5e-4 if stage == 3 else 1e-5), stage
    halves = drive(pair, tmp_path, rows, chosen, "train.gradient_precision=weights")
    assert 1e-3 < distance(halves["moved"], mean) < 1e-2
