"""The demo as a graph of steps: what each needs, and the job that produces it.

The demo has no state of its own but a record of how long each step took: every job returns at once where its
product exists, so that running the demo again continues it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.text import Text

from core.disk_errors import explaining_full_disk, usable_folder
from core.lock import named_lock
from core.storage import LOCK
from orchestration.demo import jobs, own_pictures
from orchestration.demo.outputs import STEP_TITLES
from orchestration.demo.own_pictures import GivenPicture
from orchestration.demo.progress import DemoProgress
from orchestration.demo.settings import Demo, Settings
from orchestration.demo.step_timings import StepTime, StepTimings
from orchestration.workspace import Workspace

# A step that has nothing left to do; the bar needs more than zero.
DONE_SECONDS = 0.5
REMEDY = "free space, then run the same command: finished steps are kept"


@dataclass(frozen=True)
class Step:
    """A node of the graph.

    Attributes:
        needs: names of the steps whose products the job reads.
        expected_seconds: on two cores, for the estimate of the time left.
    """

    name: str
    needs: tuple[str, ...]
    expected_seconds: float
    job: Callable[[Demo], jobs.StepResult]

    @property
    def title(self) -> str:
        """For display."""
        return STEP_TITLES[self.name]


def all_steps() -> list[Step]:
    """The demo's steps, each after those that it needs."""
    return [
        Step("footage", (), 12, jobs.make_footage),
        Step("ingest", ("footage",), 30, jobs.ingest_footage),
        Step("latents", ("ingest",), 15, jobs.encode_latents),
        Step("stage 1", ("latents",), 110, partial(jobs.train_stage, stage=1)),
        Step("stage 2", ("latents", "stage 1"), 110, partial(jobs.train_stage, stage=2)),
        Step("stage 3", ("latents", "stage 2"), 110, partial(jobs.train_stage, stage=3)),
        Step("evaluate", ("ingest", "stage 2", "stage 3"), 70, jobs.evaluate_stages),
        Step("promote", ("stage 3", "evaluate"), 5, jobs.promote_champion),
        Step("animate", ("footage", "promote"), 20, jobs.animate_pictures),
        Step("report", ("ingest", "promote", "evaluate", "animate"), 8, jobs.write_report),
    ]


def run(
    out: Path,
    console: Console,
    results: Console,
    *,
    picture: GivenPicture | None = None,
    settings: Settings | None = None,
    workspace: Workspace | None = None,
    began: float | None = None,
) -> Path:
    """Run the demo in ``out``, or the rest of it; returns the report page.

    Args:
        console: gets progress and warnings.
        results: gets the summary.
        began: when the process was started, in seconds since 1970; now if None.
        picture: the user's own, animated with those of earlier calls.

    Raises:
        LockedError: another demo is running in ``out``.
        AnimaticError: ``out`` cannot be written to or is full, or a step failed; fix what the message names
            and run the demo again.
    """
    began = began or time.time()
    usable_folder(out)
    with explaining_full_disk(out, "the demo", 0, REMEDY), named_lock(out / LOCK, "demo"):
        if picture is not None:
            own_pictures.store(out, picture)
            line = f"{picture.name} is animated at the end: {own_pictures.shortened(picture.prompt)}"
            console.print(line, markup=False, soft_wrap=True)
        workspace = workspace or Workspace.current()
        demo = _run_steps(out, console, results, settings or Settings(), workspace, began)
    return demo.products["report"]


def _run_steps(
    out: Path, console: Console, results: Console, settings: Settings, workspace: Workspace, began: float
) -> Demo:
    from orchestration.demo.summary import print_summary

    steps = all_steps()
    timings, worked = StepTimings(out), False
    with DemoProgress(console, _expected_seconds(steps, timings)) as progress:
        demo = Demo(out, workspace, settings, progress)
        before = time.time() - began
        for number, step in enumerate(steps):
            with progress.step(number, step.title), timings.timing(step.name) as measurement:
                demo.measurement = measurement
                result = step.job(demo)
                # The time of a part is not that of the step.
                measurement.fresh = result.fresh and result.whole
            if measurement.fresh and not worked and step.name != "report":
                timings.add_start(before)
            worked |= result.fresh and step.name != "report"
            demo.products[step.name] = result.product
            mark = ("done", "green") if result.fresh else ("already done", "dim")
            console.print(Text.assemble(mark, f"  {step.title}: {result.summary}"), soft_wrap=True)
    if not worked:
        results.print("nothing left to do: every step was done before", markup=False)
    print_summary(demo.outputs(), results)
    return demo


def _expected_seconds(steps: list[Step], timings: StepTimings) -> list[float]:
    """Of the work that is left, as far as the record of earlier calls shows: steps that it lists as complete
    take no time, up to the first that it does not."""
    done = timings.read()
    first = next((n for n, step in enumerate(steps) if not _complete(done.get(step.name))), len(steps))
    return [DONE_SECONDS if n < first else step.expected_seconds for n, step in enumerate(steps)]


def _complete(taken: StepTime | None) -> bool:
    return taken is not None and taken.complete
