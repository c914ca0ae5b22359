"""The benchmark measures what it says: variants agree, wrong ones are noticed, memory is counted."""

import itertools
import json
import os
from unittest.mock import patch

import numpy as np
import pytest
import torch

from core.errors import AnimaticError
from models.network.attention import attend
from orchestration.planner.live_memory import LiveMemory
from pipelines.loader import ClipSampling
from tests.bench import gpu
from tests.bench.__main__ import main
from tests.bench.checkpoints import checkpoints
from tests.bench.decoders import decode_with_decord, decode_with_pyav, members
from tests.bench.evaluation import RenderedClips, measured
from tests.bench.few_steps import BASELINE, VARIANTS
from tests.bench.full_size import measure
from tests.bench.plain import einsum_attend
from tests.bench.timing import compare
from tests.bench.training_loop import training_loop
from tests.support.coded_clips import HEIGHT, WIDTH, build_dataset
from training.config import resolve


@pytest.fixture
def ticking(monkeypatch):
    """Every reading of a clock is a second after the one before: whatever is timed takes one."""
    seconds = itertools.count(1.0)
    for clock in ("process_time", "perf_counter"):
        monkeypatch.setattr(f"tests.bench.timing.time.{clock}", lambda: next(seconds))


COMPARISONS = ("attention", "guidance", "context-cache", "memory-format", "recompute", "sampling")


@pytest.mark.slow
def test_comparisons_run_and_their_variants_agree(tmp_path, capsys, ticking):
    path = tmp_path / "figures.json"
    chosen = [part for name in COMPARISONS for part in ("--only", name)]
    assert main(["--side", "4", "--rounds", "1", "--steps", "2", "--json", str(path), *chosen]) == 0
    results = {result["name"]: result for result in json.loads(path.read_text())["results"]}
    assert tuple(results) == COMPARISONS
    table = capsys.readouterr().out
    for result in results.values():
        assert len(result["rows"]) >= 2
        assert [(row["seconds"], row["speedup"]) for row in result["rows"]] == [(1, 1)] * len(result["rows"])
        assert all(row["error"] <= 1e-4 for row in result["rows"])
        assert all(row["variant"] in table for row in result["rows"])
    memory = {row["variant"]: row["peak_mib"] for row in results["recompute"]["rows"]}
    assert memory["selective"] < memory["none"] and memory["full"] < memory["none"]


@pytest.mark.slow
def test_fewer_steps_are_compared_with_all_of_them(capsys, monkeypatch):
    chosen = {name: VARIANTS[name] | {"steps": 3} for name in (BASELINE, "unipc, 10 steps")}
    monkeypatch.setattr("tests.bench.few_steps.VARIANTS", chosen)
    assert main(["--only", "few-steps", "--side", "4", "--reference-steps", "6"]) == 0
    table = capsys.readouterr().out
    assert all(name in table for name in chosen)
    assert "RMSE from 6 steps of DDIM" in table and f"RMSE from {BASELINE}" in table


def test_a_speedup_is_the_median_of_ratios_within_rounds(monkeypatch):
    clock = iter([0.0, 4.0, 4.0, 5.0, 5.0, 13.0, 13.0, 15.0, 15.0, 18.0, 18.0, 28.0])
    for name in ("process_time", "perf_counter"):
        monkeypatch.setattr(f"tests.bench.timing.time.{name}", lambda: next(clock))
    same = torch.arange(10.0)
    result = compare("trial", "", {"a": lambda: same, "b": lambda: same}, rounds=3, warm_up=False)
    assert [(row.seconds, row.speedup) for row in result.rows] == [(4, 1), (2, 4)]


def test_a_variant_that_computes_something_else_is_an_error():
    x = torch.arange(10.0)
    with pytest.raises(AnimaticError, match=r"bench trial: results differ .*'b': 0\.3"):
        compare("trial", "", {"a": lambda: x, "b": lambda: x + 1}, rounds=1)


def test_the_written_out_attention_is_the_fused_one():
    torch.manual_seed(0)
    query, key, value = torch.randn(6, 9, 32), torch.randn(2, 5, 32), torch.randn(2, 5, 32)
    torch.testing.assert_close(einsum_attend(query, key, value, 4), attend(query, key, value, 4))


def test_live_memory_counts_what_is_alive_at_once():
    weight = torch.zeros(1000)
    with LiveMemory([weight]) as memory:
        for _ in range(5):
            weight.view(10, 100).add_(1)
            first = weight + 1
            second = first * 2
            del first, second
    assert memory.peak == 2 * 4 * 1000


@pytest.mark.slow
def test_full_size_figures_are_complete(ticking):
    config = resolve(3, "tiny", ["model.unet.model_channels=32", "model.unet.num_head_channels=8"])
    result = measure("trial", config, "cpu", rounds=1, steps=1)
    assert [row.variant.split()[-1] for row in result.rows] == ["guided", "none", "selective", "full"]
    assert [row.seconds for row in result.rows] == [1, 1, 1, 1]
    sampling, *passes = [row.tflops for row in result.rows]
    # Two conditions forward, which share layers; one forward and backward, which is twice as much.
    assert 3 / 2 * sampling < passes[0] < 2 * sampling
    assert passes[0] < passes[1] <= passes[2] < 4 / 3 * passes[0]


@pytest.mark.slow
def test_the_published_structure_is_compared_with_ours_and_computes_the_same(ticking):
    config = resolve(3, "tiny", ["model.unet.model_channels=32", "model.unet.num_head_channels=8"])
    passes = gpu.training("trial", config, "cpu", rounds=1, backend="eager")
    steps = gpu.sampling("trial", config, "cpu", rounds=1, backend="eager")
    published = ["published structure, fused attention", "published structure", "ours"]
    assert [row.variant for row in passes.rows] == [*published, "ours, compiled"]
    assert [row.variant for row in steps.rows] == [
        *published, "ours, compiled: blocks", "ours, compiled: graphs"
    ]  # fmt: skip
    for row in (*passes.rows, *steps.rows):
        assert (row.seconds, row.speedup) == (1, 1)
        assert row.error < 0.1 and row.tflops > 0
    layouts = gpu.norms("cpu", 1, (2, 64, 4, 3))
    assert "channels that are last stay" in layouts.title
    assert [row.variant for row in layouts.rows] == ["channels first", "channels last"]
    assert all(row.error < 1e-5 for row in layouts.rows)


def test_without_a_gpu_its_comparison_is_skipped(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert [result.skipped for result in gpu.gpu(1)] == ["no CUDA device"]


def test_the_decoders_that_are_compared_give_the_same_frames(tmp_path):
    dataset = build_dataset(tmp_path / "data", [20, 24])
    sampling = ClipSampling(frames=5, height=HEIGHT, width=WIDTH, stride=(2, 4))
    for stored in itertools.islice(members(dataset, sampling, "mp4"), 6):
        np.testing.assert_array_equal(decode_with_decord(*stored), decode_with_pyav(*stored))


def test_metrics_are_measured_over_as_many_clips_as_asked_for():
    row = measured(9)
    assert (row.variant, row.speedup) == ("9 clips", 1)
    assert row.seconds > 0 and row.peak_mib > 50
    clips = RenderedClips(100)
    assert len({pair.clip.key for pair in clips}) == 100
    assert len({pair.clip.source for pair in clips}) == 25
    assert not np.array_equal(clips[0].generated, clips[64].generated)


@pytest.mark.slow
def test_the_service_makes_every_clip_once_and_refuses_what_its_queue_has_no_room_for(tmp_path):
    path = tmp_path / "figures.json"
    assert main(["--only", "serving", "--rounds", "1", "--clips", "2", "--json", str(path)]) == 0
    wall, processor, latency = json.loads(path.read_text())["results"]
    assert [row["variant"] for row in wall["rows"]] == ["animate in a loop", "service"]
    assert all(row["seconds"] > 0 for row in (*wall["rows"], *processor["rows"]))
    assert [row["variant"] for row in latency["rows"]][::3] == [
        "accept, p50",
        "wait, p50",
        "run, p50",
        "content, p50",
    ]


@pytest.mark.slow
def test_checkpoints_are_measured_in_blocks_of_one_run():
    with patch.dict(os.environ):  # a run alone sets the variables of its process group
        beside, within = checkpoints(2, block=2)
    for result in (beside, within):
        without, with_one, pause, complete = (row.seconds for row in result.rows)
        assert min(without, with_one) > 0 and 0 < pause <= complete
    assert within.rows[2].seconds == within.rows[3].seconds


@pytest.mark.slow
def test_the_training_loop_is_compared_with_a_bare_loop_of_the_same_engine():
    [result] = training_loop(rounds=2, block=1)
    bare, loop = result.rows
    assert (bare.variant, loop.variant) == ("bare DeepSpeed loop", "training loop")
    assert bare.seconds > 0 and loop.seconds > 0
    assert 0.2 < loop.speedup < 5
