"""Bytes of what a run writes, from the shapes of its network."""

from __future__ import annotations

from training.adapter import trained_network
from training.config import RunConfig
from training.trainable import trainable_names

_FP32 = 4
_BYTES = {"fp32": 4, "bf16": 2, "fp16": 2}


def checkpoint_bytes(config: RunConfig) -> int:
    """Of one checkpoint: masters, two moments and the average of what is trained, in float32; without the
    scales of moments of 8 bits, which are few."""
    states = 4 if config.train.ema_decay is not None else 3
    return _FP32 * states * _numels(config)[0]


def bundle_bytes(config: RunConfig) -> int:
    """Of the run's bundle: the whole network, or what a run with an adapter trains."""
    trained, whole = _numels(config)
    return _BYTES[config.train.bundle_dtype] * (whole if config.train.adapter is None else trained)


def _numels(config: RunConfig) -> tuple[int, int]:
    """Of trained weights, and of all."""
    numels = {name: p.numel() for name, p in trained_network(config).named_parameters()}
    trained = trainable_names(config, list(numels))
    return sum(numels[name] for name in trained), sum(numels.values())
