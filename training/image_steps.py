"""Which steps of stage 0 train on single images."""

import hashlib

from training.config import RunConfig


def is_image_step(config: RunConfig, step: int) -> bool:
    """Whether a step of stage 0 trains on single images, without the temporal layers: a hash of the step."""
    if not config.train.image_batches:
        return False
    digest = hashlib.sha256(f"image step {config.seed} {step}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64 < config.train.image_batches
