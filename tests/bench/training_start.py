"""``python -m tests.bench.training_start``: what it takes to start and end a short run, with workers that are
forked and with new ones: two runs in each of two processes, and the seconds of all processes below them."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from unittest.mock import patch

import psutil

from tests.support.paths import ROOT

STEPS = 12
RUNS = 2
WAYS = ("new", "forked")
_LOOK_S = 0.05


class Processors:
    """Processor seconds of this process and all below it, those that have ended included."""

    def __init__(self) -> None:
        self._seconds: dict[tuple[int, float], float] = {}
        threading.Thread(target=self._follow, daemon=True).start()

    def seconds(self) -> float:
        """Until now, but for what processes did just before they ended."""
        return sum(self._seconds.copy().values())

    def _follow(self) -> None:
        own = psutil.Process()
        while True:
            for each in [own, *own.children(recursive=True)]:
                try:
                    times = each.cpu_times()
                    self._seconds[each.pid, each.create_time()] = times.user + times.system
                except psutil.NoSuchProcess:
                    pass
            time.sleep(_LOOK_S)


def main() -> None:
    """Measure every way in a process of its own, ``--rounds`` times in alternation."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.training_start", description=__doc__)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way is not None:
        measure(options.way)
        return
    for _ in range(options.rounds):
        for way in WAYS:
            with tempfile.TemporaryDirectory(prefix="animatic-bench-") as folder:
                subprocess.run(
                    [sys.executable, "-m", "tests.bench.training_start", "--way", way],
                    check=True,
                    cwd=folder,
                    env={**os.environ, "PYTHONPATH": str(ROOT)},
                )


def measure(way: str) -> None:
    """Train stage 1 of preset tiny twice in the working folder."""
    processors, data = Processors(), _dataset()
    if way == "new":
        with patch("pipelines.cluster.connect.forked_workers", return_value=None):
            _train(way, data, processors)
    else:
        _train(way, data, processors)


def _train(way: str, data: Path, processors: Processors) -> None:
    from orchestration.workflows.train import train
    from orchestration.workflows.train_request import TrainOptions, prepare_training
    from orchestration.workspace import Workspace

    workspace = Workspace.current()
    for run in range(RUNS):
        began, spent = time.monotonic(), processors.seconds()
        sets = (f"train.steps={STEPS}", "validation.loss_every=0", f"seed={run}")
        options = TrainOptions(stage=1, preset="tiny", sets=sets, data=str(data))
        train(prepare_training(options, workspace), workspace, lambda progress: None, print)
        seconds = time.monotonic() - began
        print(
            f"{way} workers, run {run + 1}: {processors.seconds() - spent:.1f} processor seconds, "
            f"{seconds:.1f} s",
            flush=True,
        )


def _dataset() -> Path:
    """A few rendered clips, ingested by a process of its own."""
    from orchestration.demo.footage import write_csv, write_rendered

    write_csv(Path("table.csv"), write_rendered(Path(), range(16), seed=0))
    command = ["ingest", "table.csv", "--videos", "videos", "--preset", "tiny", "--out", "data", "--no-track"]
    program = "from orchestration.cli import main; main()"
    subprocess.run([sys.executable, "-c", program, *command, "--workers", "1"], check=True)
    return Path("data").absolute()


if __name__ == "__main__":
    main()
