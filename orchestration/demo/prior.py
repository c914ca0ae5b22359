"""The prior that ships: footage, ingest, stage 0, what it can do, and the bundle with its card.

Every part is resumed or skipped where its product exists, as in the demo.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from core.errors import AnimaticError
from models import PRIOR
from models.bundle import Bundle, open_bundle, write_bundle
from orchestration.demo import curves, footage
from orchestration.demo.collection import HELD_OUT_SEED
from orchestration.demo.figures import read_losses
from orchestration.monitoring.progress import TrainingDisplay, counting
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
    """Make the prior from nothing, or what is left to make, and put it at ``target``.

    Raises:
        AnimaticError: ``target`` holds another prior already; it is never overwritten.
    """
    from orchestration.workflows.train import train

    root = workspace.root
    data = prepare(root / "prior-footage", root / "prior-data", range(SCENES), SEED, console)
    options = TrainOptions(stage=0, preset=PRESET, sets=tuple(sets), data=str(data), run_dir=root / "prior")
    request = prepare_training(options, workspace)
    with TrainingDisplay(console, request.title) as display:
        run = train(request, workspace, display, console.print).run
    report = measure(open_bundle(run.bundle_path), root, console)
    return publish(run.run_dir, report, sets, target)


def prepare(
    videos: Path, data: Path, indices: Sequence[int], seed: int, console: Console, unit_rows: int = UNIT_ROWS
) -> Path:
    """Render scenes as WebVid and ingest them for the preset; returns the dataset."""
    from pipelines.ingest import IngestConfig, ingest
    from training.config import resolve

    table = videos / "videos.csv"
    if not table.exists():
        with counting(console, "render") as progress:
            footage.write_csv(table, footage.write_rendered(videos, indices, seed, progress))
    config = resolve(3, PRESET)
    model, stride = config.model, config.data.sampling.stride
    job = IngestConfig(
        source=str(table),
        videos=str(videos / "videos"),
        output=str(data),
        short_side=min(model.height, model.width),
        min_frames=(model.frames - 1) * stride[0] + 1,
        unit_rows=unit_rows,
    )
    with counting(console, "ingest") as progress:
        ingest(job, lambda state: progress(state.rows, state.total_rows))
    return data


def measure(bundle: Bundle, root: Path, console: Console) -> EvaluationReport:
    """How often clips made from held-out captions move as the caption says."""
    import os

    from orchestration.devices import device_count
    from pipelines.evaluate import EvaluateConfig, evaluate
    from training.config import resolve

    held_out = prepare(
        root / "prior-held-out-footage",
        root / "prior-held-out",
        footage.balanced(HELD_OUT_SEED, HELD_OUT_EACH),
        HELD_OUT_SEED,
        console,
    )
    gpus = device_count()
    config = EvaluateConfig(
        data=str(held_out),
        output=root / f"prior-evaluation-{bundle.id[:8]}",
        stride=STRIDE,
        sampling=resolve(0, PRESET).validation.sampling.model_copy(update={"precision": "bfloat16"}),
        workers=gpus or max(2, os.cpu_count() or 1),
        gpus_per_worker=1 if gpus else 0,
    )
    with counting(console, "measure") as progress:
        return evaluate(bundle, config, progress)


def publish(run: Path, report: EvaluationReport, sets: Sequence[str], target: Path) -> Bundle:
    """Write the run's weights to ``target`` with a card: how they came about, what they can do."""
    trained = open_bundle(run / "bundle")
    if (target / "bundle.json").exists():
        shipped = open_bundle(target)
        if shipped.info.extra.get("run") == trained.id:
            return shipped
        raise AnimaticError(
            f"{target} holds another prior ({shipped.id[:12]}): remove that folder if it is to be replaced"
        )
    info, losses = trained.info, read_losses(run)
    if target.exists():
        shutil.rmtree(target)  # no bundle: what an interrupted copy left
    write_bundle(
        target,
        trained.state(),
        architecture=info.architecture,
        stage=info.stage,
        preset=info.preset,
        config_hash=info.config_hash,
        dataset_digest=info.dataset_digest,
        parent=info.parent,
        model_card=card(trained, run, losses, report, sets),
        sampling=info.sampling,
        extra={**info.extra, "run": trained.id},
    )
    # Beside the bundle, not of it: the card's figures are in its table too.
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
        protocol=report["protocol"],
        results=report["results"],
    )
