"""A training run's journal becomes progress for callbacks and a bar."""

import io
from pathlib import Path

from rich.console import Console

from orchestration.monitoring import JournalFollower, TrainingProgress
from orchestration.monitoring.progress import TrainingDisplay
from training.events import Metrics, Resumed, Warned
from training.journal import Journal


def write(path: Path, steps: range) -> None:
    journal = Journal(path)
    for step in steps:
        journal.record(step, Metrics({"train/loss": 1 / step, "throughput/clips_per_s": 2.0}))
    journal.close()


def test_only_lines_of_this_call_are_reported_in_order(tmp_path):
    path = tmp_path / "journal.jsonl"
    write(path, range(1, 3))
    states: list[TrainingProgress] = []
    warnings: list[str] = []
    with JournalFollower(path, 8, states.append, warnings.append):
        journal = Journal(path)
        journal.record(2, Resumed("checkpoints/step-2", "abc"))
        journal.record(3, Warned("step skipped"))
        journal.close()
        write(path, range(3, 5))
    assert states == [
        TrainingProgress(0, 8),
        TrainingProgress(2, 8, resumed=True),
        TrainingProgress(3, 8, loss=1 / 3, clips_per_s=2.0),
        TrainingProgress(4, 8, loss=1 / 4, clips_per_s=2.0),
    ]
    assert warnings == ["step skipped"]


def test_the_bar_displays_the_newest_state_and_nothing_without_one():
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=120, color_system=None)
    with TrainingDisplay(console, "stage 1 context"):
        pass
    assert screen.getvalue() == ""
    with TrainingDisplay(console, "stage 1 context") as display:
        display(TrainingProgress(0, 8))
        display(TrainingProgress(3, 8, loss=0.25, clips_per_s=2.0))
    assert "stage 1 context" in screen.getvalue()
    assert "3/8 loss 0.2500  2.0 clips/s" in screen.getvalue()
