"""The end of a stage: its weights become a bundle, once."""

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import torch
from torch import Tensor

from core.errors import AnimaticError
from models.animator import Animator
from models.bundle import Bundle, BundleExtra, open_bundle, write_bundle
from models.network.parameter_names import public_names
from training.config import RunConfig
from training.config.identity import config_hash
from training.initialisation.build import Initialisation
from training.initialisation.source_bundles import open_source_bundles
from training.observe import curves
from training.stages import STAGES

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_CURVE_POINTS = 12


def merge(initialisation: Initialisation, trained: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The whole network: trained tensors, and frozen ones exactly as the stage received them.

    Raises ValueError when a trained tensor is unknown, of another shape or not finite.
    """
    for name, value in trained.items():
        transfer = initialisation.transfers.get(name)
        if transfer is None or transfer.shape != tuple(value.shape):
            raise ValueError(f"consolidated weight {name} does not belong to this network")
        if not torch.isfinite(value).all():
            raise ValueError(f"consolidated weight {name} has values that are not finite")
    return {**initialisation.weights, **trained}


def published(config: RunConfig, run_dir: Path, dataset_digest: str) -> Bundle | None:
    """The bundle of an earlier run in ``run_dir`` that did exactly this; None when there is work to do.

    Raises AnimaticError when the folder holds the bundle of another run, or one that was tampered with:
    bundles are never overwritten.
    """
    folder = run_dir / "bundle"
    if not (folder / "bundle.json").is_file():
        return None
    bundle = open_bundle(folder)
    base, parent = open_source_bundles(config)
    origin = parent or base
    wanted = {
        "config hash": (config_hash(config), bundle.info.config_hash),
        "dataset": (dataset_digest, bundle.info.dataset_digest),
        "parent bundle": (origin.id if origin else None, bundle.info.parent),
    }
    for name, (asked, there) in wanted.items():
        if asked != there:
            raise AnimaticError(
                f"{run_dir} holds the finished run of another {name} "
                f"({str(there)[:8]}, not {str(asked)[:8]}): choose another run folder (--out)"
            )
    return bundle


def publish(
    folder: Path,
    animator: Animator,
    weights: Mapping[str, Tensor],
    config: RunConfig,
    initialisation: Initialisation,
    dataset_digest: str | None,
    journal: Path,
) -> str:
    """Write the stage's bundle to ``folder`` and return its id.

    ``weights``: the whole network by internal name; ``animator`` lends its names only.
    """
    names = public_names(animator.network)
    if set(names) != set(weights):
        raise ValueError(f"weights and network differ: {sorted(set(names) ^ set(weights))[:3]}")
    extra: BundleExtra = {"seed": config.seed, "steps": config.train.steps, "ema": config.train.ema_decay}
    if initialisation.base and initialisation.parent:
        extra["base"] = initialisation.base
    return write_bundle(
        folder,
        {names[name]: value for name, value in weights.items()},
        architecture=config.model,
        stage=config.stage,
        preset=config.preset,
        config_hash=config_hash(config),
        dataset_digest=dataset_digest,
        parent=initialisation.parent or initialisation.base,
        model_card=model_card(config, initialisation, dataset_digest, weights, journal),
        sampling=config.validation.sampling,
        extra=extra,
        dtype=_DTYPES[config.train.bundle_dtype],
    )


def model_card(
    config: RunConfig,
    initialisation: Initialisation,
    dataset_digest: str | None,
    weights: Mapping[str, Tensor],
    journal: Path,
) -> str:
    """What the bundle is, in Markdown: origin, recipe, and the loss as it fell."""
    stage = STAGES[config.stage]
    count = sum(value.numel() for value in weights.values())
    averaged = f"average with decay {config.train.ema_decay}" if config.train.ema_decay else "last step"
    rows = [
        ("Stage", f"{stage.number} ({stage.name})"),
        ("Preset", config.preset),
        ("Parameters", f"{count:,}"),
        ("Trained", ", ".join(sorted(stage.trains)) + _widened(config)),
        ("Clip", f"{config.model.frames} frames of {config.model.height}x{config.model.width}"),
        ("Steps", f"{config.train.steps:,} of batch {_batches(config)}"),
        ("Learning rate", f"{config.optimizer.lr:g}"),
        ("Weights", averaged),
        ("Dataset digest", dataset_digest or "none"),
        ("Base bundle", initialisation.base or "none"),
        ("Parent bundle", initialisation.parent or "none"),
        ("Config hash", config_hash(config)),
        ("Code", f"animatic {version('animatic')}, torch {torch.__version__}"),
        ("Command", f"`animatic train --stage {config.stage} --preset {config.preset}`"),
    ]
    table = "\n".join(f"| {name} | {value} |" for name, value in rows)
    return (
        f"# {config.preset}, stage {stage.number}: {stage.name}\n\n| | |\n|---|---|\n{table}\n\n"
        f"## Training loss\n\n{_loss_table(journal)}\n"
    )


def _batches(config: RunConfig) -> str:
    own = config.train.global_batch
    return ", ".join(f"{b.batch or own} of {b}" for b in config.data.buckets) or str(own)


def _widened(config: RunConfig) -> str:
    return f", and {', '.join(config.train.trainable)}" if config.train.trainable else ""


def _loss_table(journal: Path) -> str:
    """Means over equal stretches of the run."""
    points = curves(journal).get("train/loss", [])
    if not points:
        return "No losses were recorded."
    size = max(1, -(-len(points) // _CURVE_POINTS))
    lines = ["| steps | mean loss |", "|---|---|"]
    for start in range(0, len(points), size):
        part = points[start : start + size]
        mean = sum(value for _, value in part) / len(part)
        lines.append(f"| {part[0][0]:,} to {part[-1][0]:,} | {mean:.4f} |")
    return "\n".join(lines)
