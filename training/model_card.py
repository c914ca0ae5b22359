"""The model card of a stage's bundle."""

import math
from pathlib import Path

import torch

from core.code_version import code_version
from models.bundle import card_head
from training.config import RunConfig, config_hash
from training.data_section import data_section
from training.initialisation import Initialisation
from training.journal import curves
from training.stages import STAGES

_CURVE_POINTS = 12


def model_card(
    config: RunConfig,
    initialisation: Initialisation,
    dataset_digest: str,
    journal: Path,
    *,
    step: int,
    averaged: bool,
) -> str:
    """Origin, recipe and data of the bundle, and the loss over the run (of this ``journal``), in Markdown.

    Args:
        step: after which the weights were taken.
        averaged: whether they are the averaged ones.
    """
    stage = STAGES[config.stage]
    parameters = sum(math.prod(transfer.shape) for transfer in initialisation.transfers.values())
    kind = f"average with decay {config.train.ema_decay}" if averaged else "last step"
    steps = f"{step:,}" if step == config.train.steps else f"{step:,} of {config.train.steps:,}"
    rows = [
        ("Stage", f"{stage.number} ({stage.name})"),
        ("Preset", config.preset),
        ("Parameters", f"{parameters:,}"),
        ("Trained", ", ".join(sorted(stage.trains)) + _widened(config)),
        *_adapter(config),
        ("Clip", f"{config.model.frames} frames of {config.model.height}x{config.model.width}"),
        ("Steps", f"{steps} of batch {_batches(config)}"),
        ("Learning rate", f"{config.optimizer.lr:g}"),
        ("Weights", kind),
        ("Dataset digest", dataset_digest),
        ("Base bundle", initialisation.base or "none"),
        ("Parent bundle", initialisation.parent or "none"),
        ("Config hash", config_hash(config)),
        ("Code", f"animatic {code_version()}, torch {torch.__version__}"),
        ("Command", f"`animatic train --stage {config.stage} --preset {config.preset}`"),
    ]
    table = "\n".join(f"| {name} | {value} |" for name, value in rows)
    return card_head(config.model, config.preset) + (
        f"# {config.preset}, stage {stage.number}: {stage.name}\n\n| | |\n|---|---|\n{table}\n\n"
        f"{data_section(journal, dataset_digest)}"
        f"## Training loss\n\n{_loss_table(journal, step)}\n"
    )


def _adapter(config: RunConfig) -> list[tuple[str, str]]:
    settings = config.train.adapter
    if settings is None:
        return []
    targets = ", ".join(target.replace("_", " ") for target in settings.targets)
    return [
        ("Adapter", f"LoRA of rank {settings.rank}, alpha {settings.alpha:g}, on {targets}"),
        ("Use", "with the parent bundle as its base, or merged into it by `animatic merge`"),
    ]


def _batches(config: RunConfig) -> str:
    own = config.train.global_batch
    return ", ".join(f"{b.batch or own} of {b}" for b in config.data.buckets) or str(own)


def _widened(config: RunConfig) -> str:
    return f", and {', '.join(config.train.trainable)}" if config.train.trainable else ""


def _loss_table(journal: Path, last: int) -> str:
    """Means over equal stretches of the run, up to its ``last`` step."""
    points = [point for point in curves(journal).get("train/loss", []) if point[0] <= last]
    if not points:
        return "No losses were recorded."
    size = max(1, -(-len(points) // _CURVE_POINTS))
    lines = ["| steps | mean loss |", "|---|---|"]
    for start in range(0, len(points), size):
        part = points[start : start + size]
        mean = sum(value for _, value in part) / len(part)
        lines.append(f"| {part[0][0]:,} to {part[-1][0]:,} | {mean:.4f} |")
    return "\n".join(lines)
