"""The image encoder and its preprocessing, for transformers' CLIPVisionModelWithProjection."""

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from core.errors import AnimaticError
from models.checkpoints.diffusers import clip_names
from models.checkpoints.diffusers.part import (
    TRANSFORMERS_WEIGHTS,
    Part,
    check_tensors,
    write_config,
    write_json,
    write_tensors,
)
from models.encoders.clip import MEAN, STD

if TYPE_CHECKING:
    from open_clip.model import CLIP
    from transformers import CLIPVisionConfig

FOLDER, EXTRACTOR = "image_encoder", "feature_extractor"
_READER = "transformers.CLIPVisionModelWithProjection"
_BICUBIC = 3  # PIL's number


def image_state(clip: "CLIP") -> dict[str, Tensor]:
    """The tensors of ``CLIPVisionModelWithProjection`` whose ``last_hidden_state`` is our image tokens.

    Raises:
        AnimaticError: the tower is not built as the published CLIP models.
    """
    from transformers import CLIPVisionModelWithProjection

    state = clip_names.image_tensors(clip.state_dict())
    with torch.device("meta"):
        wanted = CLIPVisionModelWithProjection(_config(clip)).state_dict()
    check_tensors("image encoder", state, wanted, _READER)
    return state


def write_image_encoder(clip: "CLIP", folder: Path) -> list[Part]:
    """Write ``image_encoder`` and ``feature_extractor`` below ``folder``."""
    write_tensors(folder / FOLDER / TRANSFORMERS_WEIGHTS, image_state(clip))
    config = _config(clip)
    write_config(folder / FOLDER / "config.json", config, _READER)
    side = {"height": config.image_size, "width": config.image_size}
    write_json(
        folder / EXTRACTOR / "preprocessor_config.json",
        {
            "image_processor_type": "CLIPImageProcessor",
            "do_convert_rgb": True,
            "do_resize": True,
            "size": side,
            "resample": _BICUBIC,
            "do_center_crop": False,
            "crop_size": side,
            "do_rescale": True,
            "rescale_factor": 1 / 255,
            "do_normalize": True,
            "image_mean": list(MEAN),
            "image_std": list(STD),
        },
    )
    return [
        Part(
            FOLDER,
            _READER,
            "`last_hidden_state` is what the query transformer reads: all tokens of the last layer, before "
            "the final norm.",
        ),
        Part(
            EXTRACTOR,
            "transformers.CLIPImageProcessor",
            "Bicubic, to a square without cropping. animatic blurs by a Gaussian before it shrinks and "
            "aligns corners, which this class cannot: pictures of another size differ slightly.",
        ),
    ]


def _config(clip: "CLIP") -> "CLIPVisionConfig":
    from transformers import CLIPVisionConfig

    tower = clip.visual
    if not isinstance(getattr(tower, "conv1", None), nn.Conv2d) or not hasattr(tower, "transformer"):
        raise AnimaticError(
            f"the image encoder is no vision transformer but a {type(tower).__name__}, which the format "
            "diffusers cannot express"
        )
    block = tower.transformer.resblocks[0]
    width = tower.conv1.out_channels
    height, _ = tower.image_size
    patch, _ = tower.patch_size
    return CLIPVisionConfig(
        hidden_size=width,
        intermediate_size=block.mlp.c_fc.out_features,
        projection_dim=width if tower.proj is None else tower.proj.shape[1],
        num_hidden_layers=len(tower.transformer.resblocks),
        num_attention_heads=block.attn.num_heads,
        image_size=height,
        patch_size=patch,
        hidden_act=clip_names.activation(block, "image"),
        layer_norm_eps=block.ln_1.eps,
    )
