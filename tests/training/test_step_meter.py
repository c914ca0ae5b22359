"""Figures of the steps since the last report."""

import pytest
import torch

from training.backends import StepResult
from training.observe.meter import StepMeter, Throughput


def result(loss: float, applied: bool, **figures: float) -> StepResult:
    nothing = torch.zeros(0)
    return StepResult(torch.tensor(loss), applied, samples=nothing, timesteps=nothing, **figures)


def test_throughput_splits_off_waiting_and_leaves_pauses_out(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("training.observe.meter.time.perf_counter", lambda: now[0])
    throughput = Throughput()
    with throughput.waiting():
        now[0] += 1.0
    now[0] += 3.0
    with throughput.paused():
        now[0] += 100.0
    report = throughput.report(2, 16)
    assert report["throughput/step_s"] == pytest.approx(2.0)
    assert report["throughput/clips_per_s"] == pytest.approx(4.0)
    assert report["throughput/data_wait"] == pytest.approx(0.25)


def test_the_loss_is_the_mean_over_applied_steps():
    meter = StepMeter()
    for loss, applied in ((1.0, True), (float("nan"), False), (2.0, True)):
        meter.count(result(loss, applied, grad_norm=loss, learning_rate=0.1), clips=4)
    report = meter.report(skipped_steps=1)
    assert {name: report[f"train/{name}"] for name in ("loss", "grad_norm", "lr", "skipped_steps")} == {
        "loss": 1.5,
        "grad_norm": 2.0,
        "lr": 0.1,
        "skipped_steps": 1.0,
    }
    rate, seconds = report["throughput/clips_per_s"], report["throughput/step_s"]
    assert rate * seconds == pytest.approx(12 / 3)


def test_a_report_of_skipped_steps_alone_has_the_loss_of_the_last():
    meter = StepMeter()
    meter.count(result(float("inf"), False, grad_norm=0.0, learning_rate=0.1), clips=4)
    assert meter.report(skipped_steps=1)["train/loss"] == float("inf")
    meter.count(result(3.0, True, grad_norm=0.0, learning_rate=0.1), clips=4)
    assert meter.report(skipped_steps=1)["train/loss"] == 3.0
