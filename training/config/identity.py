"""What identifies a run: digests of the part of its configuration that decides the weights."""

import hashlib
import json
from typing import Any

from pipelines.loader import EVERYTHING, SHUFFLE_SHARDS, ClipSampling
from training.config.run import RunConfig


def config_hash(config: RunConfig) -> str:
    """Digest of the recipe: everything but places, processes, trackers and validation samples."""
    return _digest(_recipe(config))


def trajectory_hash(config: RunConfig) -> str:
    """Digest of what decides each step's weights: the recipe without its length and bookkeeping.

    A run may resume from checkpoints with the same trajectory hash, for instance to train longer.
    """
    recipe = _recipe(config)
    for key in ("steps", "checkpoint_every", "keep_checkpoints", "log_every", "max_skipped", "bundle_dtype"):
        del recipe["train"][key]
    return _digest(recipe)


def _recipe(config: RunConfig) -> dict[str, Any]:
    values = config.model_dump(mode="json", exclude={"launch", "tracking", "validation", "init"})
    # What is mixed, and how, is in the digest of the data.
    for name in ("dataset", "latents", "weight", "others", "threads", "max_failure_share", "cache"):
        del values["data"][name]
    # Settings that came later: at their defaults, earlier runs remain what they were.
    if config.data.selection == EVERYTHING:
        del values["data"]["selection"]
    if config.data.shuffle_shards == SHUFFLE_SHARDS:
        del values["data"]["shuffle_shards"]
    if not config.data.buckets:
        del values["data"]["buckets"]
    for name in ("target_fps", "short_clips", "flip"):
        if values["data"]["sampling"][name] == ClipSampling.model_fields[name].default:
            del values["data"]["sampling"][name]
    del values["model"]["encoders"]["path"], values["model"]["codec"]["path"]
    return values


def _digest(values: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
