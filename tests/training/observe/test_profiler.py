"""Traces of chosen steps."""

import gzip
import json
from pathlib import Path

import pytest
import torch

from training.clock import StepClock
from training.journal import Journal, read_journal
from training.observe.profiler import StepProfiler


class Profiled:
    """Steps of a run with a profiler."""

    def __init__(self, steps: str | None, folder: Path) -> None:
        self.clock, self.path = StepClock(), folder / "journal.jsonl"
        self.folder = folder / "profile"
        self.journal = Journal(self.path)
        self.profiler = StepProfiler(steps, self.folder, self.clock, self.journal, rank=1)

    def run(self, *steps: int, failing: int | None = None) -> None:
        for step in steps:
            with self.profiler.step(step), self.clock.phase("forward"):
                torch.ones(8, 8) @ torch.ones(8, 8)
                if step == failing:
                    raise KeyError(step)

    def ranges(self, name: str) -> list[str]:
        """Ranges of a trace, and the matrix products in it."""
        trace = json.loads(gzip.decompress((self.folder / name).read_bytes()))
        events = [event["name"] for event in trace["traceEvents"] if event.get("ph") == "X"]
        return [name for name in events if name.startswith("step ") or name in ("forward", "aten::mm")]

    def events(self) -> list[tuple[str, int]]:
        return [(entry.event, entry.step) for entry in read_journal(self.path)]


def test_a_trace_has_exactly_the_chosen_steps_with_their_phases(tmp_path):
    run = Profiled("2-3", tmp_path)
    run.run(1, 2, 3, 4)
    assert sorted(run.ranges("rank-00001-steps-2-3.json.gz")) == [
        "aten::mm", "aten::mm", "forward", "forward", "step 2", "step 3",
    ]  # fmt: skip
    [entry] = read_journal(run.path)
    assert (entry.event, entry.step) == ("profile", 3)
    assert (entry.content["steps"], entry.content["path"]) == ("2-3", "profile")
    assert [path.name for path in run.folder.iterdir()] == ["rank-00001-steps-2-3.json.gz"]


def test_a_run_that_resumes_among_the_chosen_steps_traces_those_that_are_left(tmp_path):
    run = Profiled("2-4", tmp_path)
    run.run(4, 5)
    assert "step 4" in run.ranges("rank-00001-steps-4.json.gz")


def test_steps_that_a_failure_interrupts_are_traced_when_they_are_repeated(tmp_path):
    run = Profiled("1-2", tmp_path)
    with pytest.raises(KeyError):
        run.run(1, 2, failing=2)
    assert run.events() == []
    run.run(1, 2)
    assert run.ranges("rank-00001-steps-1-2.json.gz").count("aten::mm") == 2


def test_a_trace_that_cannot_be_written_is_a_warning(tmp_path):
    (tmp_path / "profile").write_text("")
    run = Profiled("1", tmp_path)
    run.run(1, 2)
    assert run.events() == [("warning", 1)]
    assert "the trace of steps 1 cannot be written" in read_journal(run.path)[0].content["message"]


def test_without_a_choice_nothing_is_traced(tmp_path):
    run = Profiled(None, tmp_path)
    run.run(1, 2)
    assert not run.folder.exists()
