"""Figures of the steps since the last report."""

from typing import Any
from unittest.mock import patch

import pytest
import torch

from models.batch import Batch
from tests.support.small_animator import small_architecture
from training.backends import StepResult
from training.clock import StepClock
from training.observe.flops import ClipShape, StepFlops
from training.observe.meter import EngineState, StepMeter, Utilisation
from training.processes.group import ProcessGroup

CPU = torch.device("cpu")


class Seconds:
    """A clock that is set by hand."""

    now = 0.0

    def mark(self) -> float:
        return self.now

    def seconds(self, start: float, end: float) -> float:
        return end - start


class Meter:
    """A meter in the first of some processes, which all have the same figures."""

    def __init__(self, processes: int = 1, **options: Any) -> None:
        self.timeline = Seconds()
        self.clock = StepClock(self.timeline)
        self.failures = 0
        self.processes = processes
        group = ProcessGroup(0, processes)
        self.meter = StepMeter(self.clock, group, CPU, 1000, failures=lambda: self.failures, **options)

    def count(self, loss: float = 1.0, *, applied: bool = True, clips: int = 4, seconds: float = 1.0) -> None:
        with self.clock.phase("forward"):
            self.timeline.now += seconds
        result = StepResult(
            loss=torch.tensor(loss),
            applied=applied,
            grad_norm=loss,
            learning_rate=0.1,
            samples=torch.full((clips,), loss),
            timesteps=torch.full((clips,), 100),
        )
        self.meter.count(result, a_batch(clips))

    def report(self, engine: EngineState | None = None) -> dict[str, float]:
        def gathered(_: ProcessGroup, values: list[float]) -> list[list[float]]:
            return [list(values)] * self.processes

        with patch.object(ProcessGroup, "gathered_numbers", gathered):
            return self.meter.report(engine or EngineState(0))


def a_batch(clips: int) -> Batch:
    """Clips of 3 frames of 8x8 pixels."""
    return Batch(
        pixels=torch.zeros(clips, 3, 3, 8, 8, dtype=torch.uint8),
        captions=[""] * clips,
        fps=torch.zeros(clips),
        condition_index=torch.zeros(clips),
        drop_text=torch.zeros(clips),
        drop_image=torch.zeros(clips),
        seed=torch.zeros(clips),
        keys=[""] * clips,
    )


def test_the_loss_is_the_mean_over_applied_steps():
    steps = Meter()
    for loss, applied in ((1.0, True), (float("nan"), False), (50.0, False), (2.0, True)):
        steps.count(loss, applied=applied)
    report = steps.report(EngineState(skipped_steps=1, loss_scale=256.0))
    names = ("loss", "grad_norm", "lr", "skipped_steps", "loss_q1", "loss_scale")
    assert [report[f"train/{name}"] for name in names] == [1.5, 2.0, 0.1, 1.0, 1.5, 256.0]


def test_a_report_of_skipped_steps_alone_has_the_loss_of_the_last():
    steps = Meter()
    steps.count(float("inf"), applied=False)
    report = steps.report()
    assert report["train/loss"] == float("inf")
    assert not {"train/loss_q1", "train/loss_scale", "throughput/mfu"} & report.keys()
    steps.count(3.0)
    assert steps.report()["train/loss"] == 3.0


def test_time_is_split_by_phase_and_pauses_are_left_out():
    steps = Meter(processes=2)
    with steps.clock.phase("data"):
        steps.timeline.now += 1.0
    steps.count(seconds=2.0)
    with steps.clock.paused():
        steps.timeline.now += 100.0
    steps.count(seconds=1.0)
    report = steps.report()
    assert report["throughput/step_s"] == 2.0
    assert report["throughput/data_wait"] == 0.25
    assert report["throughput/clips_per_s"] == 2 * 2 * 4 / 4.0
    assert report["throughput/clips_per_s_per_device"] == 2.0
    assert (report["time/data_s"], report["time/forward_s"], report["time/other_s"]) == (0.5, 1.5, 0.0)
    phases = [value for name, value in report.items() if name.startswith("time/")]
    assert sum(phases) == report["throughput/step_s"]


def test_the_mfu_is_the_counted_arithmetic_of_the_time_and_of_the_peak_of_all_devices():
    flops = StepFlops(small_architecture(), [])
    steps = Meter(processes=2, utilisation=Utilisation(flops, peak_tflops=1e-3, patch=2))
    steps.count(seconds=0.5)
    # 2 processes with 4 clips each, in half a second, of two devices of 1e9 operations a second.
    assert steps.report()["throughput/mfu"] == pytest.approx(
        8 * flops.of(ClipShape(3, 4, 4)) / 0.5 / (2 * 1e9)
    )


def test_failures_are_those_since_the_last_report_in_all_processes():
    steps = Meter(processes=3)
    steps.failures = 2
    steps.count()
    assert steps.report()["data/failures"] == 6
    steps.count()
    assert steps.report()["data/failures"] == 0


def test_what_was_counted_before_the_run_went_back_is_left_out():
    steps = Meter()
    steps.count(5.0, seconds=10.0)
    steps.meter.begin()
    steps.count(1.0, seconds=1.0)
    report = steps.report()
    assert (report["train/loss"], report["train/loss_q1"], report["throughput/step_s"]) == (1.0, 1.0, 1.0)


def test_memory_is_that_of_the_process_with_the_most():
    steps = Meter(processes=2)
    steps.count()
    everyone = [[0.0] * 9 + [5.0], [0.0] * 9 + [7.0]]
    with patch.object(ProcessGroup, "gathered_numbers", lambda *_: everyone):
        assert steps.meter.report(EngineState(0))["memory/resident_bytes"] == 7.0
