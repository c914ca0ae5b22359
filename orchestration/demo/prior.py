"""The prior that ships: footage, ingest, stage 0, its evaluation, and the bundle with its card.

Every part is resumed, or skipped where its product exists, as in the demo.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from core.errors import AnimaticError
from models import PRIOR
from models.bundle import Bundle, BundleOrigin, open_bundle, write_bundle
from orchestration.demo import curves, footage
from orchestration.demo.collection import HELD_OUT_SEED
from orchestration.demo.figures import accuracy
from orchestration.demo.trainings import read_losses
from orchestration.monitoring import MonitoringOptions
from orchestration.monitoring.progress import TrainingDisplay, counting
from orchestration.workflows.evaluate import EvaluateOptions, evaluate, plan, prepare_evaluation
from orchestration.workflows.ingest import IngestOptions, ingest, prepare_ingest
from orchestration.workflows.sampling import SamplingOptions, sampling_settings
from orchestration.workflows.train_request import TrainOptions, prepare_training
from orchestration.workspace import Workspace
from training.config import load

if TYPE_CHECKING:
    from pipelines.evaluate import EvaluationReport

PRESET = "tiny"
SCENES, SEED = 2400, 1
HELD_OUT_EACH = 25  # clips of each direction on which the card's figures rest
UNIT_ROWS = 200
STRIDE = 3  # of held-out clips, as the preset trains
CARD, CURVE = "prior.md", "loss.png"
COMMAND = "make prior"
_TABLE_ROWS = 12


def make_prior(
    workspace: Workspace, console: Console, sets: Sequence[str] = (), target: Path = PRIOR
) -> Bundle:
    """Make the prior, or what is missing of it, and write it to ``target``.

    Raises:
        AnimaticError: ``target`` contains another prior; it is never overwritten.
    """
    from orchestration.workflows.train import train

    root = workspace.root
    data = prepare(workspace, console, root / "prior-footage", root / "prior-data", range(SCENES), SEED)
    options = TrainOptions(stage=0, preset=PRESET, sets=tuple(sets), data=str(data), run_dir=root / "prior")
    request = prepare_training(options, workspace)
    with TrainingDisplay(console, request.title) as display:
        run = train(request, workspace, display, partial(console.print, markup=False)).run
    report = measure(open_bundle(run.bundle_path), workspace, console)
    return publish(run.run_dir, report, sets, target)


def prepare(
    workspace: Workspace,
    console: Console,
    videos: Path,
    data: Path,
    indices: Sequence[int],
    seed: int,
    unit_rows: int = UNIT_ROWS,
) -> Path:
    """Render scenes as WebVid and ingest them for the preset; returns the dataset."""
    table = videos / "videos.csv"
    if not table.exists():
        with counting(console, "render") as progress:
            footage.write_csv(table, footage.write_rendered(videos, indices, seed, progress))
    options = IngestOptions(
        source=str(table),
        output=str(data),
        videos=str(videos / "videos"),
        preset=PRESET,
        values={"unit_rows": unit_rows},
    )
    with counting(console, "ingest") as count:
        ingest(
            prepare_ingest(options, workspace),
            workspace,
            MonitoringOptions(track=False),
            lambda state: count(state.rows, state.total_rows),
            partial(console.print, markup=False),
        )
    return data


def measure(bundle: Bundle, workspace: Workspace, console: Console) -> EvaluationReport:
    """How often clips generated from held-out captions move as the caption describes."""
    root = workspace.root
    held_out = prepare(
        workspace,
        console,
        root / "prior-held-out-footage",
        root / "prior-held-out",
        footage.balanced(HELD_OUT_SEED, HELD_OUT_EACH),
        HELD_OUT_SEED,
    )
    settings = sampling_settings(bundle, SamplingOptions()).model_copy(update={"precision": "bfloat16"})
    options = EvaluateOptions(
        data=str(held_out),
        bundle=str(bundle.folder),
        parent_folder=root / "prior-evaluations",
        values={"stride": STRIDE, "sampling": settings},
    )
    with counting(console, "measure") as count:
        return evaluate(plan(prepare_evaluation(options, workspace)), count)


def publish(run: Path, report: EvaluationReport, sets: Sequence[str], target: Path) -> Bundle:
    """Write the run's weights to ``target`` with a card about their training and abilities."""
    trained = open_bundle(run / "bundle")
    if (target / "bundle.json").exists():
        shipped = open_bundle(target)
        if shipped.info.extra.get("run") == trained.id:
            return shipped
        raise AnimaticError(
            f"{target} contains another prior ({shipped.id[:12]}): delete that folder to replace it"
        )
    info, losses = trained.info, read_losses(run)
    if target.exists():
        shutil.rmtree(target)  # not a bundle: left by an interrupted copy
    write_bundle(
        target,
        trained.state(),
        BundleOrigin(
            architecture=info.architecture,
            stage=info.stage,
            preset=info.preset,
            config_hash=info.config_hash,
            dataset_digest=info.dataset_digest,
            parent=info.parent,
            sampling=info.sampling,
            extra={**info.extra, "run": trained.id},
        ),
        model_card=card(trained, run, losses, report, sets),
    )
    # Beside the bundle and not part of it: the card's table has the same figures.
    curves.png([("Stage 0, prior", losses)], target / CURVE)
    return open_bundle(target)


def card(
    trained: Bundle, run: Path, losses: dict[int, float], report: EvaluationReport, sets: Sequence[str]
) -> str:
    """The model card, in Markdown."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    steps = list(losses)
    smooth = dict(zip(steps, curves.smooth(list(losses.values())), strict=True))
    listed = sorted({steps[n * (len(steps) - 1) // (_TABLE_ROWS - 1)] for n in range(_TABLE_ROWS)})
    environment = Environment(
        loader=PackageLoader("orchestration.demo", "."),
        undefined=StrictUndefined,
        autoescape=False,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(CARD).render(
        info=trained.info,
        run_id=trained.id,
        config=load(run / "config.yaml"),
        command=" ".join([COMMAND, *([f'SET="{" ".join(sets)}"'] if sets else [])]),
        millions=sum(value.numel() for value in trained.state().values()) / 1e6,
        footage=footage,
        scenes=SCENES,
        seed=SEED,
        curve=CURVE,
        losses=[(step, smooth[step]) for step in listed],
        sampling=report["system"]["sampling"],
        detector=report["metrics"]["direction"]["details"]["detector"],
        direction=accuracy(report),
        on_real=accuracy(report, real=True),
    )
