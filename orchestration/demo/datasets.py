"""The demo's datasets for other jobs: created by the demo's own steps where they are missing."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from orchestration.demo import jobs
from orchestration.demo.collection import Amounts
from orchestration.demo.progress import DemoProgress
from orchestration.demo.settings import Demo, Settings
from orchestration.demo.steps import all_steps
from orchestration.workspace import Workspace


class DemoDatasets(NamedTuple):
    """What to train on, and what to evaluate on."""

    data: Path
    held_out: Path

    @property
    def exist(self) -> bool:
        """Whether both are finished."""
        return all((folder / "dataset.json").exists() for folder in self)


def demo_datasets(workspace: Workspace) -> DemoDatasets:
    """Where ``make demo`` writes them."""
    root = workspace.root / "demo"
    return DemoDatasets(root / "data", root / "held-out")


def held_out_clips() -> int:
    """How many clips the demo holds out."""
    return len(Amounts().held_out)


def create_demo_datasets(workspace: Workspace, console: Console) -> DemoDatasets:
    """Render and ingest what is missing of them."""
    steps = [step for step in all_steps() if step.name in ("footage", "ingest")]
    with DemoProgress(console, [step.expected_seconds for step in steps]) as progress:
        demo = Demo(workspace.root / "demo", workspace, Settings(), progress)
        for number, (step, job) in enumerate(
            zip(steps, (jobs.make_footage, jobs.ingest_footage), strict=True)
        ):
            with progress.step(number, step.title):
                job(demo)
    return DemoDatasets(demo.data, demo.held_out)
