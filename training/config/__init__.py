"""Configuration of a training run: typed, layered, unknown keys rejected, identified by a hash."""

from training.config.identity import config_hash, trajectory_hash
from training.config.operation import TrackingConfig
from training.config.presets import presets
from training.config.run import RunConfig, dump_yaml, load, resolve, validate

__all__ = [
    "RunConfig",
    "TrackingConfig",
    "config_hash",
    "dump_yaml",
    "load",
    "presets",
    "resolve",
    "trajectory_hash",
    "validate",
]
