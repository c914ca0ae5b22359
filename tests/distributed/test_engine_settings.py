"""Settings of the engine, in two processes: each has its effect, and none changes what is learned."""

from pathlib import Path

import numpy as np
import pytest

from models.network.network import network_on_meta
from tests.support.training_jobs import (
    BY_THE_GRADIENT,
    FEWER_LAYERS,
    drive_backend,
    small_config,
    write_config,
)
from training.config import RunConfig

ROWS = [[1, 2], [3, 4]]


def config(*sets: str, rows: list[list[int]] = ROWS, stage: int = 0) -> RunConfig:
    return small_config(stage, *BY_THE_GRADIENT, f"train.global_batch={sum(map(len, rows))}", *sets)


def drive(
    pair, folder: Path, chosen: RunConfig, rows=ROWS, compiler: str | None = None, steps=(1, 2), bad_steps=()
):
    path = write_config(chosen, folder / "config.yaml")
    return pair.run(drive_backend, path, rows, list(steps), compiler, bad_steps)[0]


def distance(one: np.ndarray, other: np.ndarray) -> float:
    """Relative to the norm of ``other``."""
    return float(np.linalg.norm(one - other) / np.linalg.norm(other))


def test_all_kinds_of_blocks_are_compiled_under_recomputation(pair, tmp_path):
    sets = ("train.compile=true", "train.activation_checkpointing=full", *FEWER_LAYERS)
    compiled = drive(pair, tmp_path, config(*sets), steps=(1,))["compiled"]
    names = {"ResBlock.forward", "SpatialTransformer.forward", "TemporalTransformer.forward"}
    assert set(compiled) == names and min(compiled.values()) >= 4


@pytest.mark.slow
@pytest.mark.parametrize(
    ("zero_stage", "precision", "recomputed"),
    [(0, "fp32", "none"), (1, "fp32", "full"), (2, "autocast-bf16", "none"), (3, "bf16", "selective")],
)
def test_compiled_blocks_leave_steps_as_they_are(pair, tmp_path, zero_stage, precision, recomputed):
    sets = (
        f"train.zero_stage={zero_stage}",
        f"train.precision={precision}",
        "train.micro_batch=1",
        *FEWER_LAYERS,
    )
    plain = drive(pair, tmp_path, config(*sets))
    assert plain["compiled"] == {}
    sets = (*sets, "train.compile=true", f"train.activation_checkpointing={recomputed}")
    compiled = drive(pair, tmp_path, config(*sets), compiler="aot_eager")
    assert compiled["losses"] == pytest.approx(plain["losses"], rel=1e-5 if precision == "fp32" else 1e-3)
    assert distance(compiled["moved"], plain["moved"]) < (1e-4 if precision == "fp32" else 2e-2)


@pytest.mark.slow
@pytest.mark.parametrize("zero_stage", [0, 1, 2, 3])
def test_biases_and_norms_are_left_out_of_the_decay_at_every_stage(pair, tmp_path, zero_stage):
    stage = f"train.zero_stage={zero_stage}"
    free = drive(pair, tmp_path, config(stage), steps=(1,))["moved"]
    decay = {
        chosen: drive(
            pair,
            tmp_path,
            # lr times weight decay is 0.1: a tenth of each weight.
            config(stage, "optimizer.weight_decay=1e-5", f"optimizer.weight_decay_on={chosen}"),
            steps=(1,),
        )["moved"]
        - free
        for chosen in ("all", "matrices")
    }
    network = network_on_meta(config().model)
    matrix = np.concatenate([np.full(p.numel(), p.dim() > 1) for p in network.parameters()])
    assert distance(decay["matrices"][matrix], decay["all"][matrix]) < 1e-4
    assert np.abs(decay["all"][~matrix]).mean() > 1e-3 > 1e-6 > np.abs(decay["matrices"][~matrix]).max()


# Precisions at every stage: without ZeRO, weights are always fp32.
STAGES = [
    (stage, precision)
    for precision in ("fp32", "bf16")
    for stage in range(4)
    if (stage, precision) != (0, "bf16")
] + [(0, "autocast-bf16"), (2, "autocast-bf16")]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("zero_stage", "precision", "share", "micro_batches"),
    [*((*each, 4, (1, 2)) for each in STAGES), (2, "fp32", 6, (1, 2, 3)), (3, "bf16", 6, (1, 2, 3))],
)
def test_passes_of_every_size_make_the_step_of_the_whole_batch(
    pair, tmp_path, zero_stage, precision, share, micro_batches
):
    """With losses weighted by min-SNR, and some captions dropped."""
    # Of these samples, number 3 has no text.
    rows = [list(range(1, share + 1)), list(range(share + 1, 2 * share + 1))]
    sets = (
        f"train.zero_stage={zero_stage}",
        f"train.precision={precision}",
        "objective.min_snr_gamma=5",
        "objective.offset_noise=0.1",
    )
    whole = drive(pair, tmp_path, config(*sets, rows=rows), rows)
    exact = precision == "fp32"
    for micro_batch in micro_batches:
        split = drive(pair, tmp_path, config(*sets, f"train.micro_batch={micro_batch}", rows=rows), rows)
        assert split["losses"][0] == pytest.approx(whole["losses"][0], rel=1e-5 if exact else 2e-3)
        assert distance(split["moved"], whole["moved"]) < (1e-5 if exact else 2e-2), micro_batch


@pytest.mark.slow
def test_buckets_with_batches_of_their_own_are_split_into_as_many_passes(pair, tmp_path):
    rows = [[1, 2, 3, 4, 5, 6], [7, 8, 9, 10, 11, 12]]
    one, two = (
        drive(pair, tmp_path, config(f"train.micro_batch={size}", rows=[[0] * 4] * 2), rows)
        for size in (4, 2)
    )
    assert two["losses"][0] == pytest.approx(one["losses"][0], rel=1e-5)
    assert distance(two["moved"], one["moved"]) < 1e-5


OFFLOADED = [
    (1, "fp32", ("train.offload_optimizer=true",)),
    (2, "bf16", ("train.offload_optimizer=true",)),
    (3, "bf16", ("train.offload_optimizer=true", "train.offload_parameters=true")),
    (3, "fp32", ("train.offload_parameters=true",)),
]


@pytest.mark.parametrize(
    ("zero_stage", "precision", "offload"),
    [OFFLOADED[1], *(pytest.param(*case, marks=pytest.mark.slow) for case in OFFLOADED if case[0] != 2)],
)
def test_offload_leaves_steps_as_they_are_and_a_skipped_step_has_no_effect_on_the_next(
    pair, tmp_path, zero_stage, precision, offload
):
    layout = (f"train.zero_stage={zero_stage}", f"train.precision={precision}", "train.micro_batch=1")
    sets = (*layout, *FEWER_LAYERS)
    steps = {"steps": (1, 2, 3), "bad_steps": (2,)}
    plain = drive(pair, tmp_path, config(*sets), **steps)
    moved = drive(pair, tmp_path, config(*sets, *offload), **steps)
    assert moved["applied"] == plain["applied"] == [True, False, True]
    assert moved["losses"][::2] == pytest.approx(
        plain["losses"][::2], rel=1e-5 if precision == "fp32" else 1e-3
    )
    assert distance(moved["moved"], plain["moved"]) < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("zero_stage", [0, 3])
def test_inputs_of_recomputed_blocks_in_host_memory_leave_steps_as_they_are(pair, tmp_path, zero_stage):
    sets = (f"train.zero_stage={zero_stage}", "train.activation_checkpointing=full", *FEWER_LAYERS)
    plain = drive(pair, tmp_path, config(*sets))
    moved = drive(pair, tmp_path, config(*sets, "train.offload_activations=true"))
    assert plain["kept"] == 0 < moved["kept"]
    assert moved["losses"] == plain["losses"] and np.array_equal(moved["moved"], plain["moved"])
