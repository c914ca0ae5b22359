"""The jobs of the demo's steps: each calls the workflow behind a verb of the command.

Every workflow continues where it was interrupted and returns at once where its product exists.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from models.bundle import open_bundle
from orchestration.demo import promoting
from orchestration.demo.collection import write_collection
from orchestration.demo.settings import PRESET, STRIDE, Demo
from orchestration.demo.training_parts import training_parts
from orchestration.devices import device_count
from orchestration.launch.imports import import_for_training
from orchestration.monitoring import MonitoringOptions
from orchestration.monitoring.progress import TrainingDisplay
from orchestration.workflows import encode, evaluate, ingest, train
from orchestration.workflows.encode import EncodeOptions
from orchestration.workflows.gate_records import GateOptions
from orchestration.workflows.sampling import SamplingOptions, sampling_settings
from orchestration.workflows.train_request import TrainOptions, prepare_training, resolve_config
from pipelines.dataset.latent_records import LATENTS
from pipelines.evaluate import REPORT, EvaluationReport

if TYPE_CHECKING:
    from models.bundle import Bundle
    from models.diffusion.settings import SamplingSettings
    from pipelines.ingest import IngestProgress

CLIPS_AT_ONCE = 8
EVALUATION = "evaluation"
EVALUATED = (2, 3)  # stages
# Without the denoising loss, which would take 8 of a clip's 20 passes of the network.
METRICS = ("first_frame_psnr", "first_frame_ssim", "dynamic_degree", "travel", "flicker", "direction")


@dataclass(frozen=True)
class StepResult:
    """A step's product and one line about it.

    ``fresh`` is False if it existed before, ``whole`` if a part of it did.
    """

    product: Path
    summary: str
    fresh: bool
    whole: bool = True


def make_footage(demo: Demo) -> StepResult:
    """Render and cut the videos, laid out as WebVid."""
    amounts, collection = demo.settings.amounts, demo.collection
    if collection.fingerprint() not in (None, amounts.fingerprint()):
        # Made by another version of the demo: everything derived from it is outdated too.
        for folder in (collection.root, demo.data, demo.held_out):
            shutil.rmtree(folder, ignore_errors=True)
    fresh = collection.fingerprint() is None
    if fresh:
        with demo.progress.counting("clips") as count:
            write_collection(collection, amounts, count)
    rows = [sum(1 for _ in table.open()) - 1 for table in (collection.training, collection.held_out)]
    return StepResult(collection.root, f"{rows[0]} rows to train on, {rows[1]} held out", fresh)


def ingest_footage(demo: Demo) -> StepResult:
    """Ingest both tables."""
    from pipelines.cluster.connect import ensure_ray

    jobs = [(demo.collection.training, demo.data), (demo.collection.held_out, demo.held_out)]
    fresh = not all((output / "dataset.json").exists() for _, output in jobs)
    if fresh:
        # Started here for the whole demo: training needs two CPUs even on a machine with one.
        with demo.measurement.part("starting Ray"):
            ensure_ray(None, max(2, os.cpu_count() or 1))
        import_for_training(urgent=False)  # while videos are decoded
    summaries = [_ingest_table(demo, table, output) for table, output in jobs]
    return StepResult(demo.data, " and ".join(summaries), fresh)


def encode_latents(demo: Demo) -> StepResult:
    """Encode the clips to train on, once for the steps of all stages."""
    settings = demo.settings
    options = EncodeOptions(
        str(demo.data), str(demo.latents), preset=PRESET, sets=settings.sets, workers=settings.workers
    )
    config = encode.prepare_encode(options, demo.workspace)
    missing = not (demo.latents / LATENTS).exists()
    with demo.progress.counting("clips", visible=missing) as count:
        report = encode.encode(config, count)
    summary = f"latents of {report.encoded} clips, {report.bytes / 2**20:.1f} MiB"
    return StepResult(demo.latents, summary, fresh=report.made_units > 0)


def train_stage(demo: Demo, stage: int) -> StepResult:
    """Train a stage; its bundle is accepted into the ledger."""
    began = time.time()
    request = prepare_training(stage_options(demo, stage), demo.workspace)
    with TrainingDisplay(demo.progress.console, request.title) as display:
        run = train.train(request, demo.workspace, display, demo.progress.warn).run
    summary = f"bundle {run.bundle_id[:12]}"
    if run.steps is None:
        return StepResult(run.run_dir, summary, fresh=False)
    demo.measurement.add(training_parts(run.run_dir, began, time.time()))
    return StepResult(run.run_dir, f"{summary}, {run.steps} steps, loss {run.final_loss:.3f}", fresh=True)


def promote_champion(demo: Demo) -> StepResult:
    """Promote the last stage's bundle if its report passes the gate, unless it was promoted before: a later
    choice is the user's."""
    ledger, bundle = demo.workspace.ledger, open_bundle(demo.bundle(3))
    if any(entry.kind == "promoted" and entry.bundle_id == bundle.id for entry in ledger.entries()):
        return StepResult(bundle.folder, f"{bundle.id[:12]} in {ledger}", fresh=False)
    report = demo.evaluations[3] / REPORT
    options = GateOptions(report=report, gate=demo.settings.gate)
    made = promoting.promote(demo.out, bundle.folder, options, demo.workspace)
    if made.warning:
        demo.progress.warn(made.warning)
    passed = made.gate.outcome == "PASS"
    what = f"is champion in {ledger}" if passed else f"is not champion: see {demo.outputs().page}"
    summary = f"gate {made.gate.gate_name}: {made.gate.outcome}, {bundle.id[:12]} {what}"
    return StepResult(bundle.folder, summary, fresh=True)


def evaluate_stages(demo: Demo) -> StepResult:
    """Animate the first frame of every held-out clip with the bundles of stages 2 and 3, and measure the
    results."""
    planned = {
        stage: evaluate.plan(evaluate.prepare_evaluation(evaluation_options(demo, stage), demo.workspace))
        for stage in EVALUATED
    }
    fresh = not all(each.report.exists() for each in planned.values())
    with demo.progress.counting("clips", visible=fresh) as count:
        reports = evaluate.evaluate_all(list(planned.values()), count)
    demo.evaluations = {stage: each.config.output for stage, each in planned.items()}
    lines = [f"stage {stage}: {_measured(report)}" for stage, report in zip(planned, reports, strict=True)]
    return StepResult(demo.out / EVALUATION, "; ".join(lines), fresh)


def animate_pictures(demo: Demo) -> StepResult:
    """Animate held-out pictures and the user's own with the bundle of stage 3, whatever the gate decided."""
    from orchestration.demo import animated_pictures, footage

    bundle = open_bundle(demo.bundle(3))
    settings = sampling(demo, bundle).model_copy(update={"fps": footage.FPS / STRIDE})
    folder = demo.out / animated_pictures.FOLDER
    inputs = animated_pictures.Inputs(demo.out, bundle, settings, demo.collection)
    left = animated_pictures.left_to_do(inputs)
    if not left.work:
        return StepResult(folder, f"in {folder}", fresh=False)
    with demo.progress.counting("sampling steps") as count:
        animated_pictures.animate(inputs, left, count, demo.progress.warn)
    clips = "1 clip" if len(left.work) == 1 else f"{len(left.work)} clips"
    return StepResult(folder, f"{clips} in {folder}", fresh=True, whole=left.kept is None)


def write_report(demo: Demo) -> StepResult:
    """Write the page; it takes seconds and is written in every call."""
    from orchestration.demo.report import write

    page = write(demo.outputs())
    return StepResult(page, str(page), fresh=True)


def stage_options(demo: Demo, stage: int) -> TrainOptions:
    """The preset's recipe for a stage, on the demo's data and from the bundle of the previous stage."""
    values: dict[str, object] = {"data.latents": str(demo.latents)}
    if stage > 1:
        values["init.parent"] = str(demo.bundle(stage - 1))
    options = TrainOptions(
        stage=stage,
        preset=PRESET,
        sets=demo.settings.sets,
        data=str(demo.data),
        gpus=min(2, device_count()),
        values=values,
    )
    # Sample videos at the end of every stage, for the trackers.
    return replace(options, values={**values, "validation.every": resolve_config(options).train.steps})


def evaluation_options(demo: Demo, stage: int) -> evaluate.EvaluateOptions:
    """The evaluation of a stage's bundle on all held-out clips."""
    bundle = open_bundle(demo.bundle(stage))
    return evaluate.EvaluateOptions(
        data=str(demo.held_out),
        bundle=str(bundle.folder),
        parent_folder=demo.out / EVALUATION,
        workers=demo.settings.workers,
        metrics=METRICS,
        values={"sampling": sampling(demo, bundle), "stride": STRIDE, "chunk": CLIPS_AT_ONCE},
    )


def sampling(demo: Demo, bundle: Bundle) -> SamplingSettings:
    """The bundle's sampling settings, in the precision that is fast on a CPU."""
    settings = sampling_settings(bundle, SamplingOptions(steps=demo.settings.sampling_steps))
    return settings.model_copy(update={"precision": "bfloat16"})


def _measured(report: EvaluationReport) -> str:
    metrics = report["metrics"]
    summary = f"first frame {metrics['first_frame_psnr']['value']:.1f} dB"
    if "direction" in metrics:
        right, n = metrics["direction"]["value"], metrics["direction"]["n"]
        summary += f", direction right in {round(right * n)} of {n}"
    return summary


def _ingest_table(demo: Demo, table: Path, output: Path) -> str:
    model = resolve_config(TrainOptions(stage=3, preset=PRESET, sets=demo.settings.sets)).model
    options = ingest.IngestOptions(
        source=str(table),
        output=str(output),
        videos=str(demo.collection.videos),
        values={
            "short_side": min(model.height, model.width),
            "min_frames": (model.frames - 1) * STRIDE + 1,
            "unit_rows": demo.settings.unit_rows,
        },
    )
    request = ingest.prepare_ingest(options, demo.workspace)
    monitoring = MonitoringOptions(track=False)
    missing = not (output / "dataset.json").exists()
    with demo.progress.counting(f"rows of {table.name}", visible=missing) as count:
        result = ingest.ingest(request, demo.workspace, monitoring, _row_counter(count), demo.progress.warn)
    return f"{result.report.samples} samples of {result.report.rows} rows"


def _row_counter(count: Callable[[int, int], None]) -> Callable[[IngestProgress], None]:
    return lambda state: count(state.rows, state.total_rows)
