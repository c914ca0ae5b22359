"""What checkpoints cost: blocks of steps of a real run, with a checkpoint and without in turn."""

import statistics
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import torch

from tests.bench.timing import Result, Row
from tests.support.training_jobs import SyntheticSource
from training.config import resolve
from training.journal import read_journal
from training.loop import train

BLOCK = 50  # steps


def checkpoints(rounds: int, block: int = BLOCK) -> list[Result]:
    """Saves beside training, and in the step; ``rounds``: blocks with a checkpoint."""
    return [_measure(rounds, block, background=True), _measure(rounds, block, background=False)]


def _measure(rounds: int, block: int, *, background: bool) -> Result:
    """Every second block begins with the step that saves a checkpoint, and contains all of its cost."""
    steps = block * (2 * rounds + 1)
    config = resolve(
        0,
        "tiny",
        [
            f"train.steps={steps + 1}",
            "train.global_batch=1",
            f"train.checkpoint_every={2 * block}",
            f"train.background_saves={str(background).lower()}",
            "validation.every=0",
            "validation.loss_every=0",
            "train.log_every=1",
        ],
    )
    ended: list[float] = []

    def on_progress(step: int, total: int, metrics: Mapping[str, float]) -> None:
        ended.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as folder:
        train(config, Path(folder) / "run", source=SyntheticSource(config), on_progress=on_progress)
        events = read_journal(Path(folder) / "run" / "journal.jsonl")
    # Step n ends at ended[n - 1]; the first blocks warm up.
    saving, quiet = [], []
    for step in range(2 * block, steps - block, 2 * block):
        before, middle, after = (ended[number - 2] for number in (step, step + block, step + 2 * block))
        saving.append((middle - before) / block)
        quiet.append((after - middle) / block)
    pauses = [float(entry.content["pause_s"]) for entry in events if entry.event == "checkpoint"][:-1]
    writes = [float(entry.content["seconds"]) for entry in events if entry.event == "checkpoint"][:-1]
    rows = [
        Row("a step without a checkpoint", statistics.median(quiet), 1.0),
        Row(
            f"a step with one every {block}",
            statistics.median(saving),
            statistics.median(a / b for a, b in zip(quiet, saving, strict=True)),
        ),
        Row("pause of a checkpoint", statistics.median(pauses)),
        Row("until it was complete", statistics.median(writes)),
    ]
    where = "beside training" if background else "in the step"
    title = f"preset tiny, stage 0, {torch.get_num_threads()} thread, checkpoints written {where}"
    return Result(f"checkpoints-{'background' if background else 'step'}", title, "wall seconds", rows)
