"""The CLIP case through our encoders."""

import json
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

import open_clip
import torch
from safetensors.torch import save_file
from torch import Tensor

from core.errors import AnimaticError
from models.architecture import EncoderConfig
from models.encoders.clip import ClipEncoders, preprocess
from tests.parity.cases import ClipCase
from tests.parity.drawn import draw, weights

_FORMULA = (
    "x = clamp(0.7*sin(linspace(0,6.28,H)+0.3)[:,None]*cos(linspace(0,12.56,W))[None]"
    " + 0.3*tanh(draw('clip/<tag>',(1,3,H,W))), -1, 1); tags "
)
_TAG = re.compile(r"(\w+) \((\d+),\s*(\d+)\)")
_EVERY = 8
_TWO_PI, _FOUR_PI = 6.28, 12.56


class ClipNumbers:
    """Our encoders' outputs for a case, each computed on demand, on ``device``."""

    def __init__(self, case: ClipCase, device: str = "cpu") -> None:
        self.case, self.encoders, self._device = case, _drawn_encoders(case).to(device), device
        self.images = {tag: _image(tag, *size).to(device) for tag, size in _sizes(case.image_formula).items()}

    def outputs(self) -> dict[str, Callable[[], Tensor]]:
        """Name -> output, for every output that this tool knows."""
        known: dict[str, Callable[[], Tensor]] = {
            "token_ids": lambda: self.encoders.tokenizer(self.case.prompts),
            "text": lambda: self.encoders.text(self.case.prompts),
            "tokens_zero_image": lambda: self.encoders.image(
                torch.zeros(1, 3, 256, 256, device=self._device)
            ),
        }
        for tag, image in self.images.items():
            known[f"tokens_{tag}"] = lambda image=image: self.encoders.image(image)
            known[f"preprocess_{tag}_every{_EVERY}"] = lambda image=image: self._preprocessed(image)
        return known

    def _preprocessed(self, image: Tensor) -> Tensor:
        return preprocess(image, self.encoders.image_size)[..., ::_EVERY, ::_EVERY]


def _drawn_encoders(case: ClipCase) -> ClipEncoders:
    """The case's towers opened as a user's are: an open_clip model by name, its weights from a file."""
    name = f"parity-{case.case}"
    structure = {"embed_dim": case.embed_dim, "vision_cfg": case.vision_cfg, "text_cfg": case.text_cfg}
    with tempfile.TemporaryDirectory() as folder:
        described, path = Path(folder) / f"{name}.json", Path(folder) / "clip.safetensors"
        described.write_text(json.dumps(structure))
        open_clip.add_model_config(described)
        save_file(weights(case.parameters, case.weight_key_prefix), path)
        try:
            return ClipEncoders(EncoderConfig(model=name, path=str(path)))
        except TypeError as error:
            raise AnimaticError(f"case {case.case}: open_clip has no such setting: {error}") from error


def _sizes(formula: str) -> dict[str, tuple[int, int]]:
    """Height and width of each image that the case's formula names."""
    if not formula.startswith(_FORMULA):
        raise AnimaticError(f"image_formula is not the one that this tool computes ({_FORMULA}…)")
    return {tag: (int(height), int(width)) for tag, height, width in _TAG.findall(formula[len(_FORMULA) :])}


def _image(tag: str, height: int, width: int) -> Tensor:
    """Smooth waves and noise: (1 3 height width) in [-1, 1]."""
    rows = torch.sin(torch.linspace(0, _TWO_PI, height) + 0.3)[:, None]
    columns = torch.cos(torch.linspace(0, _FOUR_PI, width))[None]
    noise = torch.tanh(draw(f"clip/{tag}", (1, 3, height, width)))
    return torch.clamp(0.7 * rows * columns + 0.3 * noise, -1, 1)
