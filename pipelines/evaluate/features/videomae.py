"""VideoMAE, a video transformer whose features are compared as those of I3D are, from a local folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import JsonValue

from core.errors import AnimaticError
from models.encoders.quiet_loading import quiet_loading
from pipelines.evaluate.clips import Pixels
from pipelines.evaluate.features.extractor import ExtractorKind, Vectors

if TYPE_CHECKING:
    from torch import Tensor

NAME = "videomae"
CONFIG, WEIGHTS, PREPROCESSING = "config.json", "model.safetensors", "preprocessor_config.json"
FINE_TUNED = "VideoMAEForVideoClassification"
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, which VideoMAE was trained with


class VideoMae:
    """VideoMAE (Tong et al. 2022, arXiv:2203.12602) from a folder of transformers.

    A vector is the mean over all tokens of the last layer, normalised by the head's layer norm if the folder
    has a fine-tuned classifier: what its last linear layer reads. Frames are resized bilinearly with
    antialiasing to the network's size, aspect not kept, and normalised.
    """

    def __init__(self, path: Path, device: str) -> None:
        """Raises AnimaticError if the weights are not those of the structure."""
        import torch
        import transformers
        from safetensors import SafetensorError

        config = _read(path / CONFIG)
        kind = getattr(transformers, FINE_TUNED if _fine_tuned(config) else "VideoMAEModel")
        try:
            with quiet_loading():
                network, found = kind.from_pretrained(
                    path,
                    local_files_only=True,
                    use_safetensors=True,
                    output_loading_info=True,
                    dtype=torch.float32,
                )
        except (OSError, RuntimeError, ValueError, SafetensorError) as error:
            reason = " ".join(str(error).split())[:200]
            raise AnimaticError(f"extractor {NAME}: {path} cannot be loaded ({reason})") from error
        absent = sorted(map(str, [*found["missing_keys"], *found["mismatched_keys"]]))
        if absent:
            raise AnimaticError(
                f"extractor {NAME}: {path} lacks {len(absent)} tensors of its structure ({absent[0]}, …): "
                "use the folder of a complete VideoMAE model"
            )
        network = network.requires_grad_(False).eval().to(device)
        self._device, self._side = device, int(network.config.image_size)
        self._body: Any = network.videomae if _fine_tuned(config) else network
        self._norm: Any = network.fc_norm if _fine_tuned(config) else None
        self._mean, self._std = (torch.tensor(values).view(3, 1, 1) for values in _normalisation(path))

    def clips(self, pixels: Pixels) -> Vectors:
        """Features [n d] of clips, uint8 [n t h w 3]."""
        return np.stack([self._vector(clip) for clip in pixels])

    def texts(self, captions: Sequence[str]) -> None:
        """None: it reads none."""
        return

    def _vector(self, clip: Pixels) -> Vectors:
        import torch

        with torch.inference_mode():
            tokens = self._body(pixel_values=self._input(clip)[None].to(self._device)).last_hidden_state
            pooled = tokens.mean(dim=1)
            pooled = pooled if self._norm is None else self._norm(pooled)
        vector: Vectors = pooled[0].float().cpu().numpy()
        return vector

    def _input(self, clip: Pixels) -> Tensor:
        """A clip [t h w 3] as [t 3 side side]."""
        import torch
        import torch.nn.functional as F

        frames = torch.from_numpy(np.ascontiguousarray(clip)).permute(0, 3, 1, 2).float() / 255
        size = (self._side, self._side)
        return (F.interpolate(frames, size, mode="bilinear", antialias=True) - self._mean) / self._std


def frames(path: Path) -> int:
    """How many frames the network reads: its position embedding has no others."""
    return int(_read(path / CONFIG).get("num_frames", 16))


def describe(path: Path) -> dict[str, JsonValue]:
    """See :class:`ExtractorKind`."""
    if not (path / CONFIG).is_file() or not (path / WEIGHTS).is_file():
        raise AnimaticError(
            f"extractor {NAME}: {path} is not a folder of transformers, with {CONFIG} and {WEIGHTS}"
        )
    config = _read(path / CONFIG)
    if config.get("model_type") != "videomae":
        raise AnimaticError(
            f"extractor {NAME}: {path} contains a model of the type {config.get('model_type')}, not videomae"
        )
    pooling = "mean over tokens" + (", layer norm of the head" if _fine_tuned(config) else "")
    side = config.get("image_size", 224)
    return {"resize": f"bilinear with antialiasing to {side} x {side}, aspect not kept", "pooling": pooling}


def _fine_tuned(config: dict[str, Any]) -> bool:
    """Whether the folder has a classifier that reads the mean over tokens."""
    return FINE_TUNED in (config.get("architectures") or []) and config.get("use_mean_pooling", True)


def _normalisation(path: Path) -> tuple[tuple[float, ...], tuple[float, ...]]:
    if not (path / PREPROCESSING).is_file():
        return _MEAN, _STD
    settings = _read(path / PREPROCESSING)
    return tuple(settings.get("image_mean", _MEAN)), tuple(settings.get("image_std", _STD))


def _read(path: Path) -> dict[str, Any]:
    """A JSON object of transformers. Raises AnimaticError if it is damaged."""
    try:
        content = json.loads(path.read_text())
        if not isinstance(content, dict):
            raise ValueError("no object")
    except ValueError as error:
        raise AnimaticError(f"extractor {NAME}: {path} is damaged ({error}): restore it") from error
    return content


VIDEOMAE = ExtractorKind(NAME, describe, VideoMae, frames)
