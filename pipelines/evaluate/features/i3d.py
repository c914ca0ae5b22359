"""I3D, whose features FVD and KVD compare: the TorchScript file that StyleGAN-V published."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import JsonValue

from pipelines.evaluate.clips import Pixels
from pipelines.evaluate.features.extractor import ExtractorKind, Vectors
from pipelines.evaluate.features.torchscript import Script, check_archive

if TYPE_CHECKING:
    from torch import Tensor

NAME = "i3d"


class I3d:
    """Inflated 3D ConvNet (Carreira and Zisserman 2017, arXiv:1705.07750), trained on Kinetics-400.

    The archive is called as the code of StyleGAN-V does (universome/fvd-comparison): clips [n 3 t h w] from 0
    to 255 with ``rescale``, ``resize`` and ``return_features``; it scales them to [-1, 1], resizes them
    bilinearly to 224 x 224 without keeping their aspect, and returns 400 numbers for each.
    """

    def __init__(self, path: Path, device: str) -> None:
        self._network = Script(path, NAME, device)

    def clips(self, pixels: Pixels) -> Vectors:
        """Features [n 400] of clips, uint8 [n t h w 3]."""
        # Clip by clip: 16 frames of 224 x 224 are large enough for any device.
        return np.concatenate(
            [self._network(_input(clip), **_OPTIONS).float().cpu().numpy() for clip in pixels]
        )

    def texts(self, captions: Sequence[str]) -> None:
        """None: it reads none."""
        return


_OPTIONS = {"rescale": True, "resize": True, "return_features": True}


def _input(clip: Pixels) -> Tensor:
    """A clip [t h w 3] as float [1 3 t h w], 0 to 255."""
    import torch

    return torch.from_numpy(np.ascontiguousarray(clip)).permute(3, 0, 1, 2)[None].float()


def describe(path: Path) -> dict[str, JsonValue]:
    """See :class:`ExtractorKind`."""
    check_archive(path, NAME)
    return {"resize": "by the network: bilinear to 224 x 224, aspect not kept"}


I3D = ExtractorKind(NAME, describe, I3d)
