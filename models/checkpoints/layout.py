"""The published layout: names and shapes of every tensor of a checkpoint, from an architecture alone."""

from functools import lru_cache

import open_clip
import torch
from open_clip.model import CLIP

from core.errors import AnimaticError
from models import public_keys
from models.architecture import Architecture, CodecConfig, DiffusionConfig, EncoderConfig
from models.checkpoints.schedule import BUFFERS, SCALE, scale_length
from models.encoders.clip import ClipEncoders
from models.encoders.vae import build_vae, to_ldm
from models.network import parameter_names
from models.state_dict_diff import Shape, shapes_of

NETWORK = "network"
SCHEDULE = "schedule"
AUTOENCODER = "autoencoder"
TEXT_ENCODER = "text encoder"
IMAGE_ENCODER = "image encoder"
# The published order of a file's parts is this one but for the network, whose query transformer comes last.
PARTS = (SCHEDULE, NETWORK, AUTOENCODER, TEXT_ENCODER, IMAGE_ENCODER)
_PREFIXES = {
    public_keys.AUTOENCODER: AUTOENCODER,
    public_keys.TEXT_ENCODER: TEXT_ENCODER,
    public_keys.IMAGE_ENCODER: IMAGE_ENCODER,
} | dict.fromkeys(public_keys.NETWORK, NETWORK)

Layout = dict[str, Shape]


def part_of(key: str) -> str | None:
    """The part of a checkpoint that a public key belongs to; None for a key that no layout has."""
    if key in BUFFERS or key == SCALE:
        return SCHEDULE
    return next((part for prefix, part in _PREFIXES.items() if key.startswith(prefix)), None)


@lru_cache(maxsize=16)
def published_layout(architecture: Architecture) -> dict[str, Layout]:
    """Part -> public key -> shape, of a checkpoint with all that an animator of this architecture needs.

    A network without image attention has no image encoder. No weights are allocated.

    Raises:
        AnimaticError: where the codec is not the published autoencoder.
    """
    clip = _clip_shapes(architecture.encoders)
    parts = {
        SCHEDULE: _schedule(architecture.diffusion),
        NETWORK: parameter_names.public_shapes(architecture),
        AUTOENCODER: _autoencoder(architecture.codec),
        TEXT_ENCODER: {
            public_keys.TEXT_TOWER + key: shape for key, shape in clip.items() if in_text_encoder(key)
        },
    }
    if architecture.context is not None:
        parts[IMAGE_ENCODER] = {
            public_keys.IMAGE_TOWER + key: shape for key, shape in clip.items() if in_image_encoder(key)
        }
    return parts


def in_text_encoder(key: str) -> bool:
    """Whether a tensor of open_clip's model is stored with the text encoder."""
    return not key.startswith("visual.")


def in_image_encoder(key: str) -> bool:
    """Whether it is stored with the image encoder, which carries unused ends of the text tower along."""
    return not key.startswith("transformer.")


def _schedule(config: DiffusionConfig) -> Layout:
    layout: Layout = dict.fromkeys(BUFFERS, (config.timesteps,))
    return layout if config.base_scale is None else layout | {SCALE: (scale_length(config),)}


def _autoencoder(config: CodecConfig) -> Layout:
    if config.kind != "vae":
        raise AnimaticError(
            f"the published layout has Stable Diffusion's autoencoder, but this architecture's codec is "
            f"{config.kind} (model.codec.kind)"
        )
    return shapes_of(to_ldm(build_vae(config, device="meta")))


def _clip_shapes(config: EncoderConfig) -> Layout:
    with torch.device("meta"):
        if config.kind == "random":
            clip = ClipEncoders(config).clip
        else:
            structure = open_clip.get_model_config(config.model)
            if structure is None:
                raise AnimaticError(f"open_clip has no model {config.model} (model.encoders.model)")
            clip = CLIP(**structure)
    return shapes_of(clip.state_dict())
