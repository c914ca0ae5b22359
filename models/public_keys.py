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


# Of an adapter's matrices, as peft names them.
ADAPTER_A, ADAPTER_B = ".lora_A.weight", ".lora_B.weight"


def is_adapter_key(key: str) -> bool:
    """Whether a parameter, by its name or public key, is one of an adapter's matrices."""
    return key.endswith((ADAPTER_A, ADAPTER_B))
