"""What two processes report of their run together."""

import gzip
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch

from models.batch import Batch
from tests.support.training_jobs import SyntheticSource, small_config, write_config
from training.config import load
from training.journal import read_journal
from training.loop import train
from training.observe.quantiles import QuarterLosses, quarter_means
from training.processes.group import join_process_group

CONFIG = small_config(
    0,
    "train.steps=2",
    "train.log_every=2",
    "observe.profile=2",
    "observe.peak_tflops=0.001",
    "train.image_batches=0",
)
WAIT_S = 100_000.0


class SlowSource(SyntheticSource):
    """Each of its batches takes ``WAIT_S``, on a clock that it sets itself."""

    waited = 0.0

    def batches(self, *arguments: Any) -> Iterator[Batch]:
        for batch in super().batches(*arguments):
            self.waited += WAIT_S
            yield batch


def observed(config_path: str, run_dir: str) -> dict[str, Any]:
    """Train -> the metrics that this process reports."""
    found: dict[str, Any] = {}
    config = load(Path(config_path))
    source, now = SlowSource(config), time.perf_counter

    def on_progress(step: int, steps: int, metrics: Any) -> None:
        source.failures = step
        found.update(metrics)

    with patch("training.clock.time.perf_counter", lambda: now() + source.waited):
        train(config, Path(run_dir), source=source, on_progress=on_progress)
    return found


def reduced(losses: list[list[float]], steps: list[list[int]]) -> dict[str, float]:
    """The losses of samples by process and their diffusion steps, of 1000 -> means by quarter."""
    group, quarters = join_process_group(gpu=False), QuarterLosses(1000)
    quarters.add(torch.tensor(losses[group.rank]), torch.tensor(steps[group.rank]))
    return quarter_means(group.gathered_numbers(quarters.sums()))


def test_losses_by_quarter_are_means_over_the_samples_of_both_processes(pair):
    first, second = pair.run(reduced, [[1.0, 2.0, 5.0], [9.0]], [[10, 20, 900], [30]])
    assert first == second == {"train/loss_q1": 4.0, "train/loss_q4": 5.0}


@pytest.fixture(scope="module")
def reported(pair, tmp_path_factory) -> tuple[list[dict[str, float]], Path]:
    folder = tmp_path_factory.mktemp("observed")
    path = write_config(CONFIG, folder / "config.yaml")
    return pair.run(observed, path, str(folder / "run")), folder / "run"


@pytest.mark.slow
def test_losses_by_quarter_memory_and_failures_are_the_same_in_all_processes(reported):
    (first, second), _ = reported
    shared = [name for name in first if name.startswith(("train/", "memory/", "data/"))]
    assert {"train/loss_q1", "memory/resident_bytes", "data/failures"} <= {*shared}
    assert [first[name] for name in shared] == [second[name] for name in shared]
    # One sample in each process since the first step.
    assert first["data/failures"] == 2
    quarters = [value for name, value in first.items() if name.startswith("train/loss_q")]
    assert min(quarters) <= first["train/loss"] <= max(quarters)


@pytest.mark.slow
def test_the_phases_sum_to_the_step_and_a_slow_one_appears_as_itself(reported):
    (first, _), _ = reported
    phases = {name: value for name, value in first.items() if name.startswith("time/")}
    assert sum(phases.values()) == pytest.approx(first["throughput/step_s"])
    assert min(value for name, value in phases.items() if name != "time/save_s") > 0
    # Far above what the steps really take.
    assert phases.pop("time/data_s") > WAIT_S > sum(phases.values())
    assert first["throughput/clips_per_s"] * first["throughput/step_s"] == pytest.approx(4)


@pytest.mark.slow
def test_the_first_process_knows_the_mfu(reported):
    (first, second), run_dir = reported
    assert first["throughput/mfu"] > 0
    assert "throughput/mfu" not in second
    [entry] = [entry for entry in read_journal(run_dir / "journal.jsonl") if entry.event == "metrics"]
    assert entry.metrics == pytest.approx(first)


@pytest.mark.slow
def test_every_process_writes_a_trace_of_the_chosen_step(reported):
    _, run_dir = reported
    for rank in range(2):
        path = run_dir / "profile" / f"rank-0000{rank}-steps-2.json.gz"
        names = {event.get("name") for event in json.loads(gzip.decompress(path.read_bytes()))["traceEvents"]}
        assert {"step 2", "data", "encode", "forward", "backward", "optimizer"} <= names
        assert not {"step 1", "step 3"} & names
