"""Figures of the steps of a run: loss, gradients, and where the time went."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from training.backends import StepResult


class Throughput:
    """Wall time since the last report, and the share of it spent waiting for data."""

    def __init__(self) -> None:
        self._reset()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Time inside counts as waiting for data."""
        started = time.perf_counter()
        yield
        self._waited += time.perf_counter() - started

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Time inside counts for nothing (checkpoints, samples)."""
        started = time.perf_counter()
        yield
        self._began += time.perf_counter() - started

    def report(self, steps: int, clips: int) -> dict[str, float]:
        """Metrics of the time since the last report, in which ``steps`` steps used ``clips`` clips."""
        elapsed = max(time.perf_counter() - self._began, 1e-9)
        metrics = {
            "throughput/clips_per_s": clips / elapsed,
            "throughput/step_s": elapsed / max(steps, 1),
            "throughput/data_wait": min(self._waited / elapsed, 1.0),
        }
        self._reset()
        return metrics

    def _reset(self) -> None:
        self._began, self._waited = time.perf_counter(), 0.0


class StepMeter:
    """Collects the steps since the last report."""

    def __init__(self) -> None:
        self.throughput = Throughput()
        self._results: list[StepResult] = []
        self._clips = 0

    def count(self, result: StepResult, clips: int) -> None:
        """A step of all processes on ``clips`` clips."""
        self._results.append(result)
        self._clips += clips

    def report(self, skipped_steps: int) -> dict[str, float]:
        """Metrics by name; the loss is the mean over the steps that were applied, if any was.

        Args:
            skipped_steps: since the run began.
        """
        last = self._results[-1]
        losses = [result.loss for result in self._results if result.applied] or [last.loss]
        metrics = {
            "train/loss": float(torch.stack(losses).mean()),
            "train/lr": last.learning_rate,
            "train/grad_norm": last.grad_norm,
            "train/skipped_steps": float(skipped_steps),
            **self.throughput.report(len(self._results), self._clips),
        }
        self._results, self._clips = [], 0
        return metrics
