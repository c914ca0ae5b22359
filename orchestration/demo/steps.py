"""The main job at small size, as a list of steps that are skipped where their product exists.

Every step calls what the command's verbs call, and each of those carries on where it was interrupted. So the
demo has no state of its own but a note of how long each step took: running it again is how it resumes.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from models.bundle import open_bundle
from orchestration.demo.collection import write_collection
from orchestration.demo.outputs import STEP_TITLES
from orchestration.demo.progress import DemoProgress
from orchestration.demo.settings import (
    PRESET,
    STRIDE,
    Demo,
    Settings,
    evaluation_config,
    sampling,
    stage_options,
)
from orchestration.demo.step_timings import StepTimings
from orchestration.monitoring.progress import TrainingDisplay
from orchestration.workflows import promotion
from orchestration.workflows.train_request import prepare_training
from orchestration.workspace import Workspace


@dataclass(frozen=True)
class Outcome:
    """What a step has to say in one line; ``fresh`` is False if all of it was done before."""

    said: str
    fresh: bool


@dataclass(frozen=True)
class Step:
    """``expected_seconds``: seconds on two cores, for the estimate of the time left."""

    name: str
    expected_seconds: float
    act: Callable[[Demo], Outcome]

    @property
    def title(self) -> str:
        return STEP_TITLES[self.name]


def run(
    out: Path, console: Console, *, settings: Settings | None = None, workspace: Workspace | None = None
) -> Path:
    """Run the demo in ``out``, or what is left of it; returns the report page.

    Raises:
        AnimaticError: a step failed; the message says what to mend, and running again carries on.
    """
    from orchestration.demo.summary import print_summary

    steps = all_steps()
    note = StepTimings(out)
    with DemoProgress(console, [step.expected_seconds for step in steps]) as overall:
        demo = Demo(out, workspace or Workspace.current(), settings or Settings(), overall)
        for number, step in enumerate(steps):
            with overall.step(number, step.title), note.timing(step.name) as timed:
                outcome = step.act(demo)
                timed.fresh = outcome.fresh
            mark = "[green]done[/]" if outcome.fresh else "[dim]done before[/]"
            console.print(f"{mark}  {step.title}: {outcome.said}")
    print_summary(demo.outputs(), console)
    return out / "index.html"


def all_steps() -> list[Step]:
    """The demo, in order."""
    return [
        Step("footage", 12, make_footage),
        Step("ingest", 30, ingest_footage),
        *(Step(f"stage {stage}", 110, _training(stage)) for stage in (1, 2, 3)),
        Step("promote", 4, promote),
        *(Step(f"evaluate {stage}", 45, _evaluation(stage)) for stage in (2, 3)),
        Step("animate", 20, animate_stills),
        Step("report", 8, write_report),
    ]


def make_footage(demo: Demo) -> Outcome:
    """Render and cut the videos, as WebVid lays them out."""
    amounts, collection = demo.settings.amounts, demo.collection
    made = collection.fingerprint()
    if made not in (None, amounts.fingerprint()):
        # Another version of the demo made it: what was derived from it is of no use either.
        for folder in (collection.root, demo.data, demo.held_out):
            shutil.rmtree(folder, ignore_errors=True)
    fresh = collection.fingerprint() is None
    if fresh:
        with demo.overall.counting("clips") as progress:
            write_collection(collection, amounts, progress)
    rows = [sum(1 for _ in table.open()) - 1 for table in (collection.training, collection.held_out)]
    return Outcome(f"{rows[0]} rows to train on, {rows[1]} held out", fresh)


def ingest_footage(demo: Demo) -> Outcome:
    """Both tables to shards, on Ray."""
    from pipelines.cluster.connect import ensure_ray
    from pipelines.ingest import IngestConfig, ingest
    from training.config import resolve

    jobs = [(demo.collection.training, demo.data), (demo.collection.held_out, demo.held_out)]
    if not all((output / "dataset.json").exists() for _, output in jobs):
        # Started here for the whole demo: training wants two CPUs even where there is one.
        ensure_ray(None, max(2, os.cpu_count() or 1))
    model = resolve(3, PRESET, demo.settings.sets).model
    fresh, said = False, []
    for table, output in jobs:
        missing = not (output / "dataset.json").exists()
        fresh |= missing
        config = IngestConfig(
            source=str(table),
            videos=str(demo.collection.videos),
            output=str(output),
            short_side=min(model.height, model.width),
            min_frames=(model.frames - 1) * STRIDE + 1,
            unit_rows=demo.settings.unit_rows,
        )
        with demo.overall.counting(f"rows of {table.name}", visible=missing) as progress:
            report = ingest(config, lambda state, bar=progress: bar(state.rows, state.total_rows))  # type: ignore[misc]
        said.append(f"{report.samples} samples of {report.rows} rows")
    return Outcome(" and ".join(said), fresh)


def train_stage(demo: Demo, stage: int) -> Outcome:
    """One stage on Ray Train; its bundle is accepted into the ledger."""
    from orchestration.workflows.train import train

    request = prepare_training(stage_options(demo, stage), demo.workspace)
    with TrainingDisplay(demo.overall.console, request.title) as display:
        result = train(request, demo.workspace, display, demo.overall.warn).run
    demo.runs[stage] = result.run_dir
    said = f"bundle {result.bundle_id[:12]}"
    if result.steps is None:
        return Outcome(said, fresh=False)
    return Outcome(f"{said}, {result.steps} steps, loss {result.final_loss:.3f}", fresh=True)


def promote(demo: Demo) -> Outcome:
    """Make stage 3's bundle champion, unless that has happened before: a later choice is the user's."""
    ledger, bundle = demo.workspace.ledger, open_bundle(demo.champion)
    if any(entry.kind == "promoted" and entry.bundle_id == bundle.id for entry in ledger.entries()):
        return Outcome(f"{bundle.id[:12]} in {ledger.path}", fresh=False)
    options = promotion.PromoteOptions(demo.champion, note="made by the demo")
    warning = promotion.promote(options, demo.workspace).warning
    if warning:
        demo.overall.warn(warning)
    return Outcome(f"{bundle.id[:12]} is champion in {ledger.path}", fresh=True)


def evaluate_stage(demo: Demo, stage: int) -> Outcome:
    """Animate every held-out clip's first frame and measure."""
    from pipelines.evaluate import evaluate

    bundle = open_bundle(demo.runs[stage] / "bundle")
    config = evaluation_config(demo, stage, bundle)
    demo.evaluations[stage] = config.output
    fresh = not (config.output / "report.json").exists()
    with demo.overall.counting("held-out clips", visible=fresh) as progress:
        results = evaluate(bundle, config, progress)["results"]
    said = f"first frame {results['psnr_first_frame']['mean']:.1f} dB"
    if results["direction"]:
        said += f", direction right in {results['direction']['correct']} of {results['direction']['n']}"
    return Outcome(said, fresh)


def animate_stills(demo: Demo) -> Outcome:
    """Held-out pictures, animated by the champion."""
    from orchestration.demo import footage, stills

    settings = sampling(demo, 3).model_copy(update={"fps": footage.FPS / STRIDE})
    identity = stills.identity(demo.champion, settings, demo.collection)
    before = stills.read(demo.out)
    if before is not None and before.identity == identity:
        return Outcome(f"in {demo.out / stills.FOLDER}", fresh=False)
    with demo.overall.counting("sampling steps") as progress:
        animations = stills.animate(demo.out, demo.champion, settings, demo.collection, progress)
    return Outcome(f"{len(animations.clips)} clips in {demo.out / stills.FOLDER}", fresh=True)


def write_report(demo: Demo) -> Outcome:
    """The page; written anew each time, it takes seconds."""
    from orchestration.demo.report import write

    page = write(demo.outputs())
    return Outcome(str(page), fresh=True)


def _training(stage: int) -> Callable[[Demo], Outcome]:
    return lambda demo: train_stage(demo, stage)


def _evaluation(stage: int) -> Callable[[Demo], Outcome]:
    return lambda demo: evaluate_stage(demo, stage)
