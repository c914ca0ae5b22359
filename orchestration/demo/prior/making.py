"""`make prior`: codec and stage 0, what they can do, and the bundle that ships with a card about it.

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
from models import PRIOR, public_keys
from models.bundle import Bundle, BundleOrigin, open_bundle, write_bundle
from orchestration.demo import curves, footage
from orchestration.demo.collection import HELD_OUT_SEED
from orchestration.demo.prior.card import Abilities, card
from orchestration.demo.prior.stage0 import PRESET, PriorTraining, TrainedPrior, train_prior
from orchestration.demo.trainings import read_losses
from orchestration.monitoring import MonitoringOptions
from orchestration.monitoring.progress import counting
from orchestration.workflows.evaluate import EvaluateOptions, evaluate, plan, prepare_evaluation
from orchestration.workflows.ingest import IngestOptions, ingest, prepare_ingest
from orchestration.workflows.sampling import SamplingOptions, sampling_settings
from orchestration.workspace import Workspace

if TYPE_CHECKING:
    from pipelines.evaluate import EvaluationReport

HELD_OUT_EACH = 25  # clips of each direction on which the card's figures rest
UNIT_ROWS = 200
STRIDE = 3  # of held-out clips, as the preset trains
CURVE = "loss.png"


def make_prior(
    workspace: Workspace, console: Console, sets: Sequence[str] = (), target: Path = PRIOR
) -> Bundle:
    """Make the prior, or what is missing of it, and write it to ``target``.

    Raises:
        AnimaticError: ``target`` contains another prior; it is never overwritten.
    """
    training = PriorTraining(sets=tuple(sets))
    trained = train_prior(workspace.root / "prior", training, partial(counting, console))
    report = measure(trained, workspace, console)
    return publish(trained, training, report, target)


def prepare(workspace: Workspace, console: Console, root: Path, data: Path) -> Path:
    """Render held-out scenes as WebVid and ingest them for the preset; returns the dataset."""
    table = root / "videos.csv"
    if not table.exists():
        indices = footage.balanced(HELD_OUT_SEED, HELD_OUT_EACH)
        with counting(console, "render") as progress:
            footage.write_csv(table, footage.write_rendered(root, indices, HELD_OUT_SEED, progress))
    options = IngestOptions(
        source=str(table),
        output=str(data),
        videos=str(root / "videos"),
        preset=PRESET,
        values={"unit_rows": UNIT_ROWS},
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


def measure(trained: TrainedPrior, workspace: Workspace, console: Console) -> EvaluationReport:
    """How often clips generated from held-out captions move as the caption describes."""
    root, bundle = workspace.root, open_bundle(trained.run / "bundle")
    held_out = prepare(workspace, console, root / "prior-held-out-footage", root / "prior-held-out")
    settings = sampling_settings(bundle, SamplingOptions()).model_copy(update={"precision": "bfloat16"})
    options = EvaluateOptions(
        data=str(held_out),
        bundle=str(bundle.folder),
        codec=str(trained.codec),
        parent_folder=root / "prior-evaluations",
        values={"stride": STRIDE, "sampling": settings},
    )
    with counting(console, "measure") as count:
        return evaluate(plan(prepare_evaluation(options, workspace)), count)


def publish(trained: TrainedPrior, training: PriorTraining, report: EvaluationReport, target: Path) -> Bundle:
    """Write the weights of codec and network to ``target`` with a card about their training and abilities."""
    from safetensors.torch import load_file

    bundle = open_bundle(trained.run / "bundle")
    if (target / "bundle.json").exists():
        shipped = open_bundle(target)
        if shipped.info.extra.get("run") == bundle.id:
            return shipped
        raise AnimaticError(
            f"{target} contains another prior ({shipped.id[:12]}): delete that folder to replace it"
        )
    info, losses = bundle.info, read_losses(trained.run)
    abilities = Abilities.of(report, trained.codec, info.architecture)
    if target.exists():
        shutil.rmtree(target)  # not a bundle: left by an interrupted copy
    codec = info.architecture.codec.model_copy(update={"path": None})
    weights = {
        key: value
        for key, value in load_file(trained.codec).items()
        if key.startswith(public_keys.AUTOENCODER)
    }
    write_bundle(
        target,
        {**bundle.state(), **weights},
        BundleOrigin(
            architecture=info.architecture.model_copy(update={"codec": codec}),
            stage=info.stage,
            preset=info.preset,
            config_hash=info.config_hash,
            dataset_digest=info.dataset_digest,
            parent=info.parent,
            sampling=info.sampling,
            extra={**info.extra, "run": bundle.id},
        ),
        model_card=card(bundle, trained, losses, abilities, training, CURVE),
    )
    # Beside the bundle and not part of it: the card's table has the same figures.
    curves.png([("Stage 0, prior", losses)], target / CURVE)
    return open_bundle(target)
