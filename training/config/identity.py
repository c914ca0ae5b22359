"""What identifies a run: digests of the part of its configuration that decides the weights."""

from typing import Any

from core.canonical_json import SPACED_ESCAPED
from core.config.identity import IdentityFormat
from core.config.keys import flatten
from training.config.original_fields import ORIGINAL_FIELDS
from training.config.run import RunConfig

# Locations, processes, trackers and validation do not decide the weights. The training data does, but is
# identified by its own digest, which covers datasets, their weights and the selection of samples.
NON_IDENTITY_FIELDS = frozenset(
    {
        "model.encoders.path",
        "model.codec.path",
        "data.dataset",
        "data.latents",
        "data.weight",
        "data.others",
        "data.threads",
        "data.max_failure_share",
        "data.cache",
        "validation",
        "observe",
        "tracking",
        "upload",
        "launch",
        "init",
        "train.keep_every",
        "train.background_saves",
    }
)
# How the work is shared and stored, which rounds sums in another order.
LAYOUT_FIELDS = frozenset(
    {
        "train.zero_stage",
        "train.micro_batch",
        "train.activation_checkpointing",
        "train.offload_activations",
        "train.offload_optimizer",
        "train.offload_parameters",
        "train.compile",
    }
)
# What may change besides when a run is resumed: its length, its records, its response to skipped steps, and
# the rounding of its sums.
NON_TRAJECTORY_FIELDS = frozenset(
    {
        "guard",
        "train.steps",
        "train.checkpoint_every",
        "train.keep_checkpoints",
        "train.log_every",
        "train.max_skipped",
        "train.gradient_precision",
        "train.bundle_dtype",
    }
)
RECIPE = IdentityFormat(ORIGINAL_FIELDS, NON_IDENTITY_FIELDS)
TRAJECTORY = IdentityFormat(ORIGINAL_FIELDS, NON_IDENTITY_FIELDS | NON_TRAJECTORY_FIELDS | LAYOUT_FIELDS)
_TRAJECTORY_1 = IdentityFormat(ORIGINAL_FIELDS, NON_IDENTITY_FIELDS | NON_TRAJECTORY_FIELDS)


def config_hash(config: RunConfig) -> str:
    """sha256 of the recipe: the whole configuration without ``NON_IDENTITY_FIELDS``."""
    return SPACED_ESCAPED.digest(RECIPE.values(config))


def trajectory_values(config: RunConfig) -> dict[str, Any]:
    """What decides the weights at each step, nested: the recipe without ``NON_TRAJECTORY_FIELDS`` and
    ``LAYOUT_FIELDS``. The run's length is part of it where the learning rate depends on it."""
    return _with_length(TRAJECTORY.values(config), config)


def trajectory_hash(config: RunConfig) -> str:
    """sha256 of :func:`trajectory_values`.

    A run may resume from checkpoints with the same trajectory hash, for instance to train longer, or on other
    processes.
    """
    return SPACED_ESCAPED.digest(trajectory_values(config))


def trajectory_hash_1(config: RunConfig) -> str:
    """The trajectory hash of checkpoints of format 1, which ``LAYOUT_FIELDS`` are part of."""
    return SPACED_ESCAPED.digest(_with_length(_TRAJECTORY_1.values(config), config))


def differing_settings(earlier: RunConfig, config: RunConfig) -> list[str]:
    """Dotted names of the settings that decide the weights and differ, in order."""
    before, now = flatten(trajectory_values(earlier)), flatten(trajectory_values(config))
    return [name for name in sorted({*before, *now}) if before.get(name) != now.get(name)]


def _with_length(values: dict[str, Any], config: RunConfig) -> dict[str, Any]:
    options = config.optimizer
    if options.schedule == "constant" or options.decay_steps is not None:
        return values
    # As a run of any length that names the step has it.
    return {**values, "optimizer": {**values["optimizer"], "decay_steps": config.train.steps}}
