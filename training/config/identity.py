"""What identifies a run: digests of the part of its configuration that decides the weights."""

from core.canonical_json import SPACED_ESCAPED
from core.config.identity import IdentityFormat
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
        "tracking",
        "launch",
        "init",
    }
)
# What may change when a run is resumed: its length, its records, and the rounding of its sums.
NON_TRAJECTORY_FIELDS = frozenset(
    {
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
TRAJECTORY = IdentityFormat(ORIGINAL_FIELDS, NON_IDENTITY_FIELDS | NON_TRAJECTORY_FIELDS)


def config_hash(config: RunConfig) -> str:
    """sha256 of the recipe: the whole configuration without ``NON_IDENTITY_FIELDS``."""
    return SPACED_ESCAPED.digest(RECIPE.values(config))


def trajectory_hash(config: RunConfig) -> str:
    """sha256 of what decides the weights at each step: the recipe without ``NON_TRAJECTORY_FIELDS``.

    A run may resume from checkpoints with the same trajectory hash, for instance to train longer.
    """
    return SPACED_ESCAPED.digest(TRAJECTORY.values(config))
