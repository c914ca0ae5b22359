"""Frozen CLIP towers: text features and image tokens, as the published model uses them.

Text: all 77 tokens of the penultimate block, through the final norm. Image: all tokens (class token first) of
the last block, before the final norm and projection.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.errors import AnimaticError
from models import public_keys
from models.architecture import EncoderConfig
from models.encoders.captions import clip_tokenizer
from models.encoders.weight_files import DAMAGED_PICKLE, check_weights, file_keys, read_tensors, weights_kind
from models.file_kind import PICKLE

# open_clip takes seconds to import: only the functions that build towers do so.
if TYPE_CHECKING:
    from open_clip.model import CLIP

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)


class ClipEncoders(nn.Module):
    """The towers of one CLIP model, frozen."""

    def __init__(self, config: EncoderConfig, *, image: bool = True, weights: bool = True) -> None:
        """Load the towers.

        Args:
            image: False leaves out the image tower, of 2.5 GB at full size, which is then never read.
            weights: False reads no file: a public model has names and shapes alone, on the meta device.
        """
        super().__init__()
        if config.kind == "random":
            self.clip = _random_clip(config, image=image)
        else:
            self.clip = (_public_clip if weights else _clip_on_meta)(config, image=image)
        self.clip.requires_grad_(False).eval()
        if image:
            self.image_size = _side(self.clip.visual.image_size)
        self.tokenizer = clip_tokenizer()

    def train(self, mode: bool = True) -> ClipEncoders:
        """Frozen: stays in evaluation mode whatever its parent does."""
        return super().train(False)

    @torch.no_grad()
    def text(self, captions: list[str]) -> Tensor:
        """Captions -> (b 77 context_dim)."""
        clip = self.clip
        ids = self.tokenizer(captions, clip.context_length)
        ids = ids.to(clip.token_embedding.weight.device, non_blocking=True)
        x = clip.token_embedding(ids) + clip.positional_embedding
        penultimate = len(clip.transformer.resblocks) - 2
        _, blocks = clip.transformer.forward_intermediates(x, attn_mask=clip.attn_mask, indices=[penultimate])
        return clip.ln_final(blocks[0])

    @torch.no_grad()
    def image(self, pixels: Tensor) -> Tensor:
        """Images (b 3 h w) in [-1, 1] -> tokens (b 1 + patches image_dim).

        Raises ValueError without an image tower.
        """
        if not hasattr(self, "image_size"):
            raise ValueError("these encoders have no image tower")
        features = self.clip.visual.forward_intermediates(
            preprocess(pixels, self.image_size),
            indices=1,
            intermediates_only=True,
            output_fmt="NLC",
            output_extra_tokens=True,
        )
        return torch.cat(
            [features["image_intermediates_prefix"][0], features["image_intermediates"][0]], dim=1
        )


def preprocess(pixels: Tensor, size: int) -> Tensor:
    """Images (b 3 h w) in [-1, 1] -> (b 3 size size), normalised for CLIP.

    Bicubic with aligned corners, aspect ratio squashed, low-passed by a Gaussian where a side shrinks: the
    resize that the published model was trained with.
    """
    factors = (pixels.shape[-2] / size, pixels.shape[-1] / size)
    if max(factors) > 1:
        pixels = _low_pass(pixels, factors)
    if pixels.shape[-2:] != (size, size):
        pixels = F.interpolate(pixels, (size, size), mode="bicubic", align_corners=True)
    mean, std = (torch.tensor(x).to(pixels.device, non_blocking=True).view(3, 1, 1) for x in (MEAN, STD))
    return ((pixels + 1) / 2 - mean) / std


def _low_pass(pixels: Tensor, factors: tuple[float, float]) -> Tensor:
    """Gaussian blur along height and width for shrinking by ``factors``, edges reflected."""
    for dim, factor in ((-2, factors[0]), (-1, factors[1])):
        sigma = max((factor - 1) / 2, 0.001)
        taps = int(max(2 * 2 * sigma, 3)) | 1
        positions = torch.arange(taps, device=pixels.device, dtype=pixels.dtype) - taps // 2
        kernel = torch.exp(-(positions**2) / (2 * sigma**2))
        kernel = (kernel / kernel.sum()).expand(pixels.shape[1], 1, taps)
        kernel = kernel[..., None] if dim == -2 else kernel[..., None, :]
        half = taps // 2
        pad = (0, 0, half, half) if dim == -2 else (half, half, 0, 0)
        pixels = F.conv2d(F.pad(pixels, pad, mode="reflect"), kernel, groups=pixels.shape[1])
    return pixels


def _random_clip(config: EncoderConfig, *, image: bool) -> CLIP:
    """Small towers of CLIP's structure, drawn from the seed alone."""
    from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg

    text, vision = config.text, config.image
    assert text is not None and vision is not None  # the configuration's validator guarantees it
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        clip = CLIP(
            embed_dim=text.width,
            vision_cfg=CLIPVisionCfg(
                layers=vision.layers,
                width=vision.width,
                head_width=vision.width // vision.heads,
                patch_size=vision.patch_size,
                image_size=vision.image_size,
            ),
            text_cfg=CLIPTextCfg(width=text.width, heads=text.heads, layers=text.layers),
        )
    return clip if image else _without_image_tower(clip)


def _public_clip(config: EncoderConfig, *, image: bool) -> CLIP:
    """open_clip's model of that name with the weights at ``config.path``, in float32."""
    if config.path is None:
        raise AnimaticError(
            f"model.encoders.path is not set: give the file with the weights of open_clip's {config.model} "
            "(open_clip_pytorch_model.bin or .safetensors)"
        )
    clip = _clip_on_meta(config, image=image)
    path = Path(config.path)
    pickled = weights_kind(path, "model.encoders.path") == PICKLE
    state = (_pickled if pickled else _stored)(path, image=image)
    check_weights(state, clip.state_dict(), f"{path} (model.encoders.path)")
    clip.load_state_dict(state, assign=True)
    length = clip.context_length
    clip.attn_mask = torch.full((length, length), float("-inf")).triu(1)
    return clip


def _clip_on_meta(config: EncoderConfig, *, image: bool) -> CLIP:
    """open_clip's model of that name: names and shapes."""
    from open_clip import get_model_config
    from open_clip.model import CLIP

    structure = get_model_config(config.model)
    if structure is None or structure.get("custom_text"):
        raise AnimaticError(f"open_clip has no plain CLIP model {config.model} (model.encoders.model)")
    with torch.device("meta"):
        clip = CLIP(**structure)
    return clip if image else _without_image_tower(clip)


def _without_image_tower(clip: CLIP) -> CLIP:
    del clip.visual
    return clip


def _stored(path: Path, *, image: bool) -> dict[str, Tensor]:
    """Weights of the towers in a .safetensors file, under open_clip's or published names."""
    keys = file_keys(path, "model.encoders.path")
    # The published image encoder carries an unused copy of the text tower's ends: only visual.* is its own.
    published = {
        key: target + key.removeprefix(prefix)
        for prefix, target in ((public_keys.TEXT_TOWER, ""), (public_keys.VISUAL_TOWER, "visual."))
        for key in keys
        if key.startswith(prefix)
    }
    names = published or {key: key for key in keys}
    return read_tensors(path, {key: name for key, name in names.items() if image or not _of_image(name)})


def _pickled(path: Path, *, image: bool) -> dict[str, Tensor]:
    """Weights of the towers in a pickle, read without running any code in it."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, *DAMAGED_PICKLE) as error:
        raise AnimaticError(
            f"{path} (model.encoders.path) is damaged or contains more than weights; use open_clip's own file"
        ) from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise AnimaticError(
            f"{path} (model.encoders.path) contains no named tensors; use open_clip's own file"
        )
    return {key: value.float() for key, value in state.items() if image or not _of_image(key)}


def _of_image(name: str) -> bool:
    """Whether open_clip's tensor of this name belongs to the image tower."""
    return name.startswith("visual.")


def _side(size: int | tuple[int, int]) -> int:
    return size if isinstance(size, int) else size[0]
