"""The autoencoder, for diffusers' AutoencoderKL."""

import json
from pathlib import Path

from models.architecture import CodecConfig
from models.checkpoints.diffusers.part import DIFFUSERS_WEIGHTS, Part, write_json, write_tensors
from models.encoders.vae import load_vae

FOLDER = "vae"


def write_autoencoder(config: CodecConfig, folder: Path) -> list[Part]:
    """Write ``vae`` below ``folder``, in float32.

    ``scaling_factor`` is the architecture's factor on latents, ``sample_size`` the side of the tiles that
    large frames are decoded in.

    Raises:
        AnimaticError: as of :func:`models.encoders.vae.load_vae`.
    """
    vae = load_vae(config)
    vae.register_to_config(scaling_factor=config.scale)
    if config.decode_tile is not None:
        vae.register_to_config(sample_size=config.decode_tile)
    description = json.loads(vae.to_json_string())
    # The folder that the weights were read from.
    description.pop("_name_or_path", None)
    write_json(folder / FOLDER / "config.json", description)
    write_tensors(folder / FOLDER / DIFFUSERS_WEIGHTS, vae.state_dict())
    remark = f"Latents are multiplied by `scaling_factor` = {config.scale}."
    return [Part(FOLDER, "diffusers.AutoencoderKL", remark)]
