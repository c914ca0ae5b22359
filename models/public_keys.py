"""Key prefixes of the published checkpoints, which bundles and exports use. Imports no torch."""

UNET = "model.diffusion_model."
QUERY_TRANSFORMER = "image_proj_model."
AUTOENCODER = "first_stage_model."
TEXT_ENCODER = "cond_stage_model."
IMAGE_ENCODER = "embedder."
# Both encoders wrap open_clip's model, or half of it.
TEXT_TOWER = TEXT_ENCODER + "model."
IMAGE_TOWER = IMAGE_ENCODER + "model."
VISUAL_TOWER = IMAGE_TOWER + "visual."

NETWORK = (UNET, QUERY_TRANSFORMER)


def is_network_key(key: str) -> bool:
    """Whether a key belongs to the trained network, not to the autoencoder, an encoder or the schedule."""
    return key.startswith(NETWORK)
