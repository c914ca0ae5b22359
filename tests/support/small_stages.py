"""Bundles and configurations of a network small enough for tests."""

from functools import cache
from pathlib import Path

import torch

from models.animator import Animator
from models.bundle import BundleOrigin, write_bundle
from models.network.parameter_names import public_state
from training.config import RunConfig, resolve
from training.config.identity import config_hash

SETS = [
    "model.frames=3",
    "model.height=64",
    "model.width=64",
    "model.unet.model_channels=32",
    "model.unet.num_head_channels=16",
    "model.unet.norm_groups=8",
    "model.unet.context_dim=32",
    "model.encoders.text={width: 32, layers: 2, heads: 2}",
    "model.encoders.image={width: 32, layers: 1, heads: 2, patch_size: 16, image_size: 32}",
    "train.global_batch=4",
    "train.log_every=1",
    "train.precision=fp32",
    "train.ema_decay=null",
    "train.condition_from_base=false",
    "validation.every=0",
    "validation.sampling.steps=2",
]
CONTEXT = (
    "model.context={dim: 32, depth: 1, heads: 2, dim_head: 16, queries: 4, image_dim: 32, context_dim: 32}"
)


def small_sets(stage: int) -> list[str]:
    """``--set`` arguments that make preset tiny smaller still."""
    return SETS if stage == 0 else [*SETS, CONTEXT]


def small_config(stage: int) -> RunConfig:
    return resolve(stage, "tiny", small_sets(stage))


@cache
def _weights(stage: int) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return public_state(Animator(small_config(stage).model).network)


def make_bundle(
    folder: Path,
    stage: int = 3,
    parent: str | None = None,
    seed: int = 0,
    preset: str = "tiny",
    fps: float | None = None,
    config: RunConfig | None = None,
    data: str = "d" * 64,
    **extra,
) -> str:
    """A bundle with random weights, others for another seed; returns its id.

    ``fps``: the frame rate of its sampling settings; ``config``: of its run; ``data``: digest of its data.
    """
    config = config or small_config(stage)
    return write_bundle(
        folder,
        {name: value + seed for name, value in _weights(stage).items()},
        BundleOrigin(
            architecture=config.model,
            stage=stage,
            preset=preset,
            config_hash=config_hash(config),
            dataset_digest=data,
            parent=parent,
            sampling=config.validation.sampling.model_copy(update={"fps": fps}),
            extra=extra,
        ),
        model_card="# test\n",
    )


def tamper(folder: Path) -> None:
    """Flip a bit of a bundle's weights."""
    weights = folder / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
