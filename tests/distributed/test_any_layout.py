"""A checkpoint is continued by any number of processes and with any ZeRO stage, without a conversion."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from models.bundle import open_bundle
from tests.support.process_group import WorkerError, Workers
from tests.support.training_jobs import FEWER_LAYERS, run_stage, small_config, write_config
from training.journal import read_journal

# Rounded sums of bf16 differ with the micro-batch; Adam turns them into steps of up to the learning rate.
# Dropout depends on the rank.
SETTINGS = (
    "model.unet.dropout=0",
    "train.ema_decay=0.9",
    "train.image_batches=0",
    "train.checkpoint_every=1",
    "optimizer.lr=3e-5",
)
TOLERANCE = 1e-4


@dataclass(frozen=True)
class Layout:
    processes: int
    zero_stage: int


def words(layout: Layout) -> str:
    workers = "worker" if layout.processes == 1 else "workers"
    return f"{layout.processes} {workers} with ZeRO stage {layout.zero_stage}"


@dataclass
class Runs:
    """Trains in two processes or one, each with a configuration of its own."""

    groups: dict[int, Workers]
    folder: Path

    def train(
        self, run_dir: Path, layout: Layout, *sets: str, steps: int, until: int | None = None
    ) -> dict[int, float]:
        """Losses by step; ``until``: the run is interrupted after this one, whose checkpoint exists."""
        zero = f"train.zero_stage={layout.zero_stage}"
        config = small_config(0, *SETTINGS, zero, f"train.steps={steps}", *sets)
        path = write_config(config, self.folder / f"{run_dir.name}.yaml")
        group = self.groups[layout.processes]
        if until is None or until == steps:
            return group.run(run_stage, path, str(run_dir))[0]["losses"]
        with pytest.raises(WorkerError, match=f"at step {until}"):
            group.run(run_stage, path, str(run_dir), {"stop_after": until})
        return {}

    def change(self, layouts: Sequence[Layout], *sets: str, steps: int = 3) -> None:
        """Train some steps with each layout in turn, and compare with a run that stays with the first."""
        whole, changed = self.folder / "whole", self.folder / "changed"
        losses = self.train(whole, layouts[0], *sets, steps=steps)
        for number, layout in enumerate(layouts, 1):
            until = steps * number // len(layouts)
            last = self.train(changed, layout, *sets, steps=steps, until=until)
        resumed = [entry for entry in read_journal(changed / "journal.jsonl") if entry.event == "resume"]
        assert [entry.content["change"] for entry in resumed] == [
            f"written by {before}, continued by {after}"
            for before, after in zip(map(words, layouts), map(words, layouts[1:]), strict=False)
        ]
        assert last and last == pytest.approx({step: losses[step] for step in last}, abs=TOLERANCE)
        expected, got = (open_bundle(folder / "bundle").state() for folder in (whole, changed))
        assert max(float((expected[key] - got[key]).abs().max()) for key in expected) < TOLERANCE
        shutil.rmtree(whole)
        shutil.rmtree(changed)


@pytest.fixture
def runs(pair, alone, tmp_path) -> Runs:
    return Runs({2: pair, 1: alone}, tmp_path)


def test_other_numbers_of_processes_and_stages_continue_a_checkpoint(runs):
    runs.change([Layout(2, 2), Layout(1, 3)], "train.precision=bf16", *FEWER_LAYERS, steps=2)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "bf16", "autocast-bf16"])
@pytest.mark.parametrize("zero_stage", [1, 2, 3])
def test_processes_leave_and_come_back(runs, precision, zero_stage):
    sizes = (2, 1, 2)
    runs.change([Layout(size, zero_stage) for size in sizes], f"train.precision={precision}", steps=6)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("stages", [(2, 3, 1), (1, 2, 3), (3, 1, 2)])
def test_stages_change(runs, precision, stages):
    runs.change([Layout(2, stage) for stage in stages], f"train.precision={precision}", steps=6)


@pytest.mark.slow
@pytest.mark.parametrize("stages", [(0, 3, 0), (1, 0, 2), (3, 0, 1)])
def test_a_run_leaves_zero_and_returns_to_it(runs, stages):
    runs.change([Layout(2, stage) for stage in stages], "train.precision=autocast-bf16", steps=6)
