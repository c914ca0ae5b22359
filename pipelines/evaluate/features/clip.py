"""The towers of a CLIP model of open_clip, from a local folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from pydantic import JsonValue

from core.errors import AnimaticError
from pipelines.evaluate.clips import Pixels
from pipelines.evaluate.features.extractor import ExtractorKind, Vectors
from pipelines.evaluate.features.pictures import by_clip

NAME = "clip"
CONFIG = "open_clip_config.json"
WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors", "model.safetensors")


class Clip:
    """Any pair of towers that open_clip knows (Radford et al. 2021, arXiv:2103.00020).

    The folder is in open_clip's layout: ``open_clip_config.json``, with the structure and the preprocessing,
    and the weights in a .safetensors file. Features are the projected ones, which CLIP's loss compares.
    """

    def __init__(self, path: Path, device: str) -> None:
        """Raises AnimaticError if the weights are not those of the structure."""
        import open_clip
        from open_clip.transform import PreprocessCfg, image_transform_v2
        from safetensors import SafetensorError

        folder = f"local-dir:{path}"
        try:
            model = open_clip.create_model(folder, require_pretrained=True, device=device)
        except (RuntimeError, ValueError, TypeError, KeyError, SafetensorError) as error:
            reason = " ".join(str(error).split())[:200]
            raise AnimaticError(
                f"extractor {NAME}: {path} cannot be loaded ({reason}): use open_clip's own folder"
            ) from error
        self._device = device
        self._model = model.requires_grad_(False).eval()
        preprocessing = PreprocessCfg(**model.visual.preprocess_cfg)
        self._prepare = image_transform_v2(preprocessing, is_train=False)
        self._tokenizer = open_clip.get_tokenizer(folder)

    def clips(self, pixels: Pixels) -> Vectors:
        """Features [n t d] of clips, uint8 [n t h w 3]."""
        return by_clip(
            pixels, self._prepare, lambda frames: self._model.encode_image(frames.to(self._device))
        )

    def texts(self, captions: Sequence[str]) -> Vectors:
        """Features [n d] of captions."""
        import torch

        tokens = self._tokenizer(list(captions)).to(self._device)
        with torch.inference_mode():
            vectors: Vectors = self._model.encode_text(tokens).float().cpu().numpy()
        return vectors


def describe(path: Path) -> dict[str, JsonValue]:
    """See :class:`ExtractorKind`."""
    if not (path / CONFIG).is_file() or not any((path / name).is_file() for name in WEIGHTS):
        raise AnimaticError(
            f"extractor {NAME}: {path} is not a folder with {CONFIG} and {WEIGHTS[0]}, open_clip's layout"
        )
    try:
        config = json.loads((path / CONFIG).read_text())
        structure, preprocessing = config["model_cfg"], config.get("preprocess_cfg", {})
        text, side = structure["text_cfg"], structure["vision_cfg"].get("image_size", 224)
        own_text = "hf_model_name" in text or "hf_tokenizer_name" in text
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise AnimaticError(
            f"extractor {NAME}: {path / CONFIG} is not a configuration of open_clip: restore the file"
        ) from error
    if own_text:
        raise AnimaticError(
            f"extractor {NAME}: the text tower of {path} is one of Hugging Face, whose tokenizer would be "
            "downloaded: use a model with open_clip's own text tower"
        )
    mode, filter_ = (
        preprocessing.get("resize_mode", "shortest"),
        preprocessing.get("interpolation", "bicubic"),
    )
    return {"resize": f"open_clip's preprocessing: {mode}, {filter_}, to {side}"}


CLIP = ExtractorKind(NAME, describe, Clip)
