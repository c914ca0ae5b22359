"""The state of a backend in a checkpoint is all of it: who goes on from it does so bit for bit."""

from typing import Any

import numpy as np
import pytest

from tests.support.restored_backends import restore_and_go_on, save_and_go_on, save_first_format
from tests.support.training_jobs import FEWER_LAYERS, small_config, write_config

AT, END = 2, 4  # steps: of the checkpoint, and the last one


def path_of(folder, *sets: str) -> str:
    config = small_config(0, "model.unet.dropout=0", "train.image_batches=0", *FEWER_LAYERS, *sets)
    return write_config(config, folder / f"config-{abs(hash(sets))}.yaml")


def layout(precision: str, zero_stage: int) -> tuple[str, str]:
    return f"train.precision={precision}", f"train.zero_stage={zero_stage}"


def same(one: dict[str, Any], other: dict[str, Any], *kinds: str) -> bool:
    """Whether weights and averages are equal bit for bit."""
    return all(
        one[kind].keys() == other[kind].keys()
        and all(np.array_equal(one[kind][name], other[kind][name]) for name in one[kind])
        for kind in kinds or ("weights", "average")
    )


def check(expected: dict[str, Any], restored: dict[str, Any], at: int = AT) -> None:
    for outcome in (restored["first"], restored["again"]):
        assert same(outcome["saved"], expected["saved"]) and same(outcome["end"], expected["end"])
        assert outcome["losses"] == expected["losses"][at:]
        assert outcome["end"]["counters"] == expected["end"]["counters"]


def restored(
    group, folder, *sets: str, bad_steps: tuple[int, ...] = (), at: int = AT, end: int = END
) -> None:
    """Save and restore with the same settings, in a new backend and then once more in that one."""
    config = path_of(folder, *sets)
    expected = group.run(save_and_go_on, config, str(folder / "checkpoints"), at, end, list(bad_steps))[0]
    check(expected, group.run(restore_and_go_on, config, expected["path"], at, end)[0], at)


def test_loss_scale_and_skipped_steps_are_restored_before_the_first_update(alone, tmp_path):
    sets = (*layout("fp16", 2), "train.global_batch=1")
    restored(alone, tmp_path, *sets, bad_steps=(1,), at=1, end=2)


@pytest.mark.slow
@pytest.mark.parametrize("zero_stage", [0, 1, 2, 3])
@pytest.mark.parametrize("precision", ["fp32", "autocast-bf16", "bf16", "fp16"])
def test_every_precision_and_stage_is_restored(pair, tmp_path, precision, zero_stage):
    if zero_stage == 0 and precision in ("bf16", "fp16"):
        pytest.skip("no ZeRO, no masters")
    restored(pair, tmp_path, *layout(precision, zero_stage), bad_steps=(2,))


@pytest.mark.slow
@pytest.mark.parametrize("zero_stage", [1, 2, 3])
@pytest.mark.parametrize("precision", ["fp32", "autocast-bf16", "bf16", "fp16"])
def test_an_offloaded_optimizer_is_restored(pair, tmp_path, precision, zero_stage):
    parameters = ("train.offload_parameters=true",) if zero_stage == 3 else ()
    sets = (*layout(precision, zero_stage), "train.offload_optimizer=true", *parameters)
    restored(pair, tmp_path, *sets)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "autocast-bf16"])
def test_moments_of_8_bits_are_restored(pair, tmp_path, precision):
    pytest.importorskip("torchao", reason="animatic[8bit] is not installed")
    restored(pair, tmp_path, *layout(precision, 0), "optimizer.kind=adamw_8bit", bad_steps=(2,))


@pytest.mark.slow
@pytest.mark.parametrize("others", [((2, 1), (1, 3)), ((1, 2), (2, 0)), ((2, 3), (1, 1)), ((1, 0), (2, 2))])
def test_the_state_itself_is_the_same_in_every_layout(pair, alone, tmp_path, others):
    """Processes and stage of the one that saves, and of the one that restores."""
    (before, old), (after, new) = others
    groups = {1: alone, 2: pair}
    expected = groups[before].run(
        save_and_go_on, path_of(tmp_path, *layout("fp32", old)), str(tmp_path / "c"), AT, END, []
    )[0]
    changed = path_of(tmp_path, *layout("fp32", new), "train.micro_batch=1")
    found = groups[after].run(restore_and_go_on, changed, expected["path"], AT, END)[0]["first"]
    assert same(found["saved"], expected["saved"])
    assert found["saved"]["counters"] == expected["saved"]["counters"]
    assert found["losses"] == pytest.approx(expected["losses"][AT:], abs=1e-5)


@pytest.mark.parametrize(
    ("precision", "zero_stage"),
    [
        pytest.param("fp32", 0, marks=pytest.mark.slow),
        pytest.param("autocast-bf16", 1, marks=pytest.mark.slow),
        ("bf16", 2),
        pytest.param("bf16", 3, marks=pytest.mark.slow),
    ],
)
def test_checkpoints_of_the_first_format_are_continued(pair, tmp_path, precision, zero_stage):
    config = path_of(tmp_path, *layout(precision, zero_stage))
    expected = pair.run(save_first_format, config, str(tmp_path / "checkpoints"), AT, END)[0]
    check(expected, pair.run(restore_and_go_on, config, expected["path"], AT, END)[0])
