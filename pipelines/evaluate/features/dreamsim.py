"""DreamSim, the perceptual distance of PIC: the published ensemble, exported to TorchScript."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import JsonValue

from pipelines.evaluate.clips import Pixels
from pipelines.evaluate.features.extractor import ExtractorKind, Vectors
from pipelines.evaluate.features.pictures import by_clip
from pipelines.evaluate.features.torchscript import Script, check_archive

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

NAME = "dreamsim"
SIDE = 224


class DreamSim:
    """Fu et al. 2023 (arXiv:2306.09344), as the package ``dreamsim`` computes it.

    The archive is its method ``embed``: pictures [n 3 224 224], RGB from 0 to 1, to vectors [n d], whose
    cosine distance is D. docs/evaluation.md has the program that writes it. Pictures are resized as the
    package does: bicubic with antialiasing to 224 x 224, aspect not kept.
    """

    def __init__(self, path: Path, device: str) -> None:
        self._network = Script(path, NAME, device)

    def clips(self, pixels: Pixels) -> Vectors:
        """Features [n t d] of clips, uint8 [n t h w 3]."""
        return by_clip(pixels, _input, self._embed)

    def texts(self, captions: Sequence[str]) -> None:
        """None: it reads none."""
        return

    def _embed(self, pictures: Tensor) -> Tensor:
        # The package drops the dimension of a batch of one, and an export of it fails there.
        if len(pictures) == 1:
            return self._network(pictures.repeat(2, 1, 1, 1))[:1]
        return self._network(pictures)


def _input(picture: Image.Image) -> Tensor:
    import torch
    from PIL import Image

    resized = np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.BICUBIC))
    return torch.from_numpy(resized.copy()).permute(2, 0, 1).float() / 255


def describe(path: Path) -> dict[str, JsonValue]:
    """See :class:`ExtractorKind`."""
    check_archive(path, NAME)
    return {"resize": f"bicubic with antialiasing to {SIDE} x {SIDE}, aspect not kept"}


DREAMSIM = ExtractorKind(NAME, describe, DreamSim)
