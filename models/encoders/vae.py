"""Stable Diffusion's autoencoder as diffusers builds it, under the names of the published checkpoints.

Published files have it as ``first_stage_model.*`` in the layout of CompVis' latent-diffusion (LDM): blocks of
the decoder are numbered from the finest level, and the attention's projections are 1x1 convolutions, where
diffusers numbers from the coarsest and projects with linear layers. The numbers are the same.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from core.errors import AnimaticError
from models import public_keys
from models.architecture import CodecConfig
from models.encoders.weight_files import check_weights, file_keys, read_tensors

if TYPE_CHECKING:
    from diffusers import AutoencoderKL

_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}
_PROJECTION = re.compile(r"\.attn_1\.(q|k|v|proj_out)\.weight$")


def build_vae(config: CodecConfig, *, device: str = "cpu") -> "AutoencoderKL":
    """AutoencoderKL of the configured shape with undefined weights, in evaluation mode.

    Args:
        device: "meta" builds names and shapes only.
    """
    # Imported here: it takes seconds, which processes without an autoencoder save.
    from diffusers import AutoencoderKL

    levels = len(config.channel_mult)
    with torch.device("meta"):
        vae = AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * levels,
            up_block_types=("UpDecoderBlock2D",) * levels,
            block_out_channels=tuple(config.width * mult for mult in config.channel_mult),
            layers_per_block=config.res_blocks,
            latent_channels=config.channels,
            scaling_factor=config.scale,
        )
    return (vae if device == "meta" else vae.to_empty(device=device)).eval()


def load_vae(config: CodecConfig) -> "AutoencoderKL":
    """The autoencoder at ``config.path`` in float32 and evaluation mode.

    Raises:
        AnimaticError: where it is missing, or its tensors are not those of the configured shape.
    """
    if config.path is None:
        raise AnimaticError(
            "model.codec.path is not set: give the folder of a diffusers autoencoder (a vae folder) or a "
            ".safetensors file with first_stage_model.* tensors"
        )
    path = Path(config.path)
    if path.is_dir():
        return _load_folder(path)
    keys = file_keys(path, "model.codec.path")
    prefix = public_keys.AUTOENCODER if any(key.startswith(public_keys.AUTOENCODER) for key in keys) else ""
    if not prefix and any(".down_blocks." in key for key in keys):
        raise AnimaticError(
            f"{path} (model.codec.path) has the tensor names of diffusers: give its folder, with config.json"
        )
    vae = build_vae(config, device="meta")
    found = read_tensors(
        path,
        {key: public_keys.AUTOENCODER + key.removeprefix(prefix) for key in keys if key.startswith(prefix)},
    )
    check_weights(found, to_ldm(vae), f"{path} (model.codec.path)")
    vae.load_state_dict(from_ldm(vae, found), assign=True)
    return vae


def ldm_names(vae: "AutoencoderKL") -> dict[str, str]:
    """diffusers parameter name -> public key, for every parameter of an autoencoder."""
    levels = len(vae.decoder.up_blocks)
    return {name: public_keys.AUTOENCODER + _ldm_name(name, levels) for name, _ in vae.named_parameters()}


def to_ldm(vae: "AutoencoderKL") -> dict[str, Tensor]:
    """Weights under public keys and in the published shapes (views, no copies)."""
    parameters = dict(vae.named_parameters())
    state = {key: parameters[name].detach() for name, key in ldm_names(vae).items()}
    return {key: x[:, :, None, None] if _PROJECTION.search(key) else x for key, x in state.items()}


def from_ldm(vae: "AutoencoderKL", state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Public-key weights under diffusers' names and in its shapes.

    Keys that ``vae`` does not have are left out, and nothing is checked: ``models.checkpoints.load`` compares
    names and shapes in the published layout.
    """
    names = ldm_names(vae)
    return {
        name: state[key].flatten(1) if _PROJECTION.search(key) else state[key]
        for name, key in names.items()
        if key in state
    }


def _ldm_name(name: str, levels: int) -> str:
    """``encoder.down_blocks.1.resnets.0.conv1.weight`` -> ``encoder.down.1.block.0.conv1.weight``."""
    name = re.sub(r"\bdown_blocks\.(\d+)\.", r"down.\1.", name)
    name = re.sub(r"\bup_blocks\.(\d+)\.", lambda match: f"up.{levels - 1 - int(match[1])}.", name)
    name = re.sub(r"\bmid_block\.resnets\.(\d+)\.", lambda match: f"mid.block_{int(match[1]) + 1}.", name)
    name = re.sub(r"\bresnets\.(\d+)\.", r"block.\1.", name)
    name = re.sub(r"\b(down|up)samplers\.0\.", r"\1sample.", name)
    name = name.replace("conv_shortcut", "nin_shortcut").replace("conv_norm_out", "norm_out")
    head, found, tail = name.partition("mid_block.attentions.0.")
    if not found:
        return name
    part, leaf = tail.rsplit(".", 1)
    return f"{head}mid.attn_1.{_ATTENTION[part]}.{leaf}"


def _load_folder(path: Path) -> "AutoencoderKL":
    if not (path / "config.json").is_file():
        raise AnimaticError(f"no AutoencoderKL at {path} (model.codec.path): config.json is missing")
    from diffusers import AutoencoderKL

    return AutoencoderKL.from_pretrained(path, local_files_only=True).float().eval()
