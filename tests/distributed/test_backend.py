"""The DeepSpeed backend on two processes: exact starts, exact batches, sharded averages."""

import pytest

from tests.support.process_group import WorkerError
from tests.support.training_jobs import FEWER_LAYERS, follow_backend, small_config, write_config


def follow(pair, folder, *sets, steps=3, fp16=True):
    path = write_config(small_config(0, "model.unet.dropout=0", *FEWER_LAYERS, *sets), folder / "config.yaml")
    return pair.run(follow_backend, path, steps, fp16)


@pytest.mark.parametrize(
    ("precision", "zero_stage"),
    [
        pytest.param("fp32", 0, marks=pytest.mark.slow),
        pytest.param("autocast-bf16", 1, marks=pytest.mark.slow),
        pytest.param("bf16", 1, marks=pytest.mark.slow),
        pytest.param("bf16", 2, marks=pytest.mark.slow),
        pytest.param("bf16", 3, marks=pytest.mark.slow),
        ("fp16", 2),
    ],
)
def test_masters_start_exactly_and_sharded_averages_are_whole_ones(pair, tmp_path, precision, zero_stage):
    sets = (f"train.precision={precision}", f"train.zero_stage={zero_stage}", "train.image_batches=0")
    first, second = follow(pair, tmp_path, *sets)
    assert first["starts_exactly"]
    assert first["changed"] == first["trained"] > 50
    assert first["average_moved"] and first["average_error"] < 1e-6
    assert first["losses"] == second["losses"]
    assert second["trained"] == 0, "only the first rank holds whole weights"


@pytest.mark.parametrize(
    ("precision", "zero_stage"), [("fp32", 0), pytest.param("bf16", 1, marks=pytest.mark.slow), ("bf16", 3)]
)
def test_scalars_are_trained(pair, recipe, tmp_path, precision, zero_stage):
    """The learned gate of the 256 network is one."""
    sets = (
        f"train.precision={precision}",
        f"train.zero_stage={zero_stage}",
        "model.unet.learnable_gate=true",
    )
    config = small_config(1, f"init.base={recipe[0].bundle}", *sets)
    first, second = pair.run(follow_backend, write_config(config, tmp_path / "config.yaml"), 3)
    assert first["starts_exactly"] and first["average_moved"] and first["average_error"] < 1e-6
    assert first["losses"] == second["losses"] and second["trained"] == 0
    assert first["changed"] == first["trained"] and first["scalars"] > 0


def test_fp16_on_a_device_without_it_is_refused(pair, tmp_path):
    with pytest.raises(WorkerError, match="does not support it on this device; use bf16"):
        follow(pair, tmp_path, "train.precision=fp16", fp16=False)


@pytest.fixture(scope="module")
def losses(pair, tmp_path_factory) -> list[float]:
    """Losses of some steps in fp32, two processes with one pass each."""
    return follow(pair, tmp_path_factory.mktemp("reference"))[0]["losses"]


@pytest.mark.parametrize("recomputed", ["selective", pytest.param("full", marks=pytest.mark.slow)])
def test_accumulation_and_recomputation_leave_the_steps_as_they_are(losses, pair, tmp_path, recomputed):
    sets = ("train.micro_batch=1", f"train.activation_checkpointing={recomputed}")
    followed = follow(pair, tmp_path, *sets)[0]
    assert followed["losses"] == pytest.approx(losses, rel=1e-5)
    # Each layer is computed once more in the backward pass: three steps of two passes.
    assert followed["layer_passes"] == 3 * 2 * 2


def test_steps_do_not_depend_on_the_number_of_processes(losses, alone, tmp_path):
    assert follow(alone, tmp_path)[0]["losses"] == pytest.approx(losses, rel=1e-5)
