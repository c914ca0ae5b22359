"""Text found by a network: a text detector of transformers in a local folder, as PP-OCR's.

Such a detector gives each pixel the probability that it is inside a line of text (Liao et al. 2020,
*Real-time Scene Text Detection with Differentiable Binarization*).
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from core.errors import AnimaticError
from models.encoders.digests import tensors_digest
from models.encoders.weight_files import check_weights, file_keys, read_tensors
from pipelines.cluster.column_jobs import WantedColumn
from pipelines.score.metrics.metric import Frame, Metric, ScoredRow, Value, column_of, evenly
from pipelines.video.frames import Frames

SURE = 0.3  # probability from which a pixel counts as text, as in PP-OCR's own use
LONG_SIDE = 960  # pixels; PP-OCR reduces larger pictures to this
_SETTING = "detector"
_KINDS = "pp_ocr", "_det"
_COUNTERS = "num_batches_tracked"  # of training; published files lack them


@dataclass
class WholeFrames:
    """Frames of one clip, no larger than the detector sees them."""

    wanted: list[int]
    frames: list[Frames] = field(default_factory=list)

    def add(self, frame: Frame) -> None:
        """Take the next frame."""
        image = Image.fromarray(frame.whole)
        image.thumbnail((LONG_SIDE, LONG_SIDE), Image.Resampling.BILINEAR)
        self.frames.append(np.array(image))


class DetectedText(Metric[WholeFrames]):
    """Largest share of the picture, 0 to 1, inside lines of text, over evenly drawn frames.

    Unlike ingest's measure it also finds text that moves, and text in the scene.
    """

    reads = "clip"
    suits_images = True

    def __init__(self, folder: str, frames: int, device: str) -> None:
        self._path, self._frames, self._device = Path(folder), frames, device

    def columns(self) -> list[WantedColumn]:
        """``screen_text``."""
        network, _ = self._network
        weights = tensors_digest(
            {name: value for name, value in network.state_dict().items() if not name.endswith(_COUNTERS)}
        )
        source = {"method": "detector/1", "weights": weights, "frames": str(self._frames)}
        return [column_of("screen_text", source)]

    def observer(self, row: ScoredRow) -> WholeFrames:
        """For one sample."""
        return WholeFrames(evenly(row["frames"], self._frames))

    def values(self, observed: Sequence[WholeFrames]) -> list[tuple[Value, ...]]:
        """The share of each."""
        return [(round(self._share(each.frames), 4),) for each in observed]

    @torch.no_grad()
    def _share(self, frames: list[Frames]) -> float:
        network, prepare = self._network
        pixels = prepare(images=frames, return_tensors="pt")["pixel_values"].to(self._device)
        probabilities = network(pixel_values=pixels).last_hidden_state
        return float((probabilities > SURE).float().mean((1, 2, 3)).max())

    @functools.cached_property
    def _network(self) -> tuple[Any, Any]:
        """The network, and what prepares pictures for it.

        Raises AnimaticError if the folder has no text detector, or other weights than its structure.
        """
        from transformers import AutoConfig, AutoImageProcessor, AutoModelForObjectDetection

        if not self._path.is_dir():
            raise AnimaticError(f"no folder at {self._path} ({_SETTING})")
        try:
            config = AutoConfig.from_pretrained(self._path, local_files_only=True)
            prepare = AutoImageProcessor.from_pretrained(self._path, local_files_only=True)
        except (OSError, ValueError, KeyError) as error:
            reason = " ".join(str(error).split())[:200]
            raise AnimaticError(f"{self._path} ({_SETTING}) cannot be loaded ({reason})") from error
        start, end = _KINDS
        kind = str(config.model_type)
        if not (kind.startswith(start) and kind.endswith(end)):
            raise AnimaticError(
                f"{self._path} ({_SETTING}) is a model of kind {kind:.40}; use a text detector of PP-OCR in "
                "the layout of transformers, as PP-OCRv5_mobile_det_safetensors"
            )
        network = AutoModelForObjectDetection.from_config(config)
        weights = self._path / "model.safetensors"
        keys = [key for key in file_keys(weights, _SETTING) if not key.endswith(_COUNTERS)]
        state = read_tensors(weights, {key: key for key in keys})
        wanted = {name: x for name, x in network.state_dict().items() if not name.endswith(_COUNTERS)}
        check_weights(state, wanted, f"{weights} ({_SETTING})")
        network.load_state_dict(state, strict=False)
        return network.requires_grad_(False).eval().to(self._device), prepare
