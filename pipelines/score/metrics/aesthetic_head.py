"""Heads that rate how images look from CLIP's embeddings: LAION's linear ones and its improved predictor.

Both are linear: the predictor has layers without activations between them, and dropout only in training. A
head is therefore one weight for each feature and a bias.
"""

import pickle
import re
from pathlib import Path

import torch
from torch import Tensor

from core.errors import AnimaticError
from models.encoders.digests import tensors_digest
from models.encoders.weight_files import DAMAGED_PICKLE, file_keys, read_tensors, weights_kind
from models.file_kind import SAFETENSORS

_SETTING = "head"
_LAYER = re.compile(r"(?:.*\.)?layers\.(\d+)\.(weight|bias)")


class AestheticHead:
    """weight · embedding + bias."""

    def __init__(self, weight: Tensor, bias: Tensor, digest: str) -> None:
        self.weight, self.bias, self.digest = weight, bias, digest

    @property
    def width(self) -> int:
        """Of the embeddings."""
        return len(self.weight)

    def rate(self, embeddings: Tensor) -> Tensor:
        """Embeddings of length 1 (n width) → ratings (n), mostly 1 to 10."""
        return embeddings @ self.weight.to(embeddings) + self.bias.to(embeddings)


def load_head(path: Path) -> AestheticHead:
    """Read a head: safetensors or ``torch.save``, of which no code is run.

    Raises AnimaticError if the file is missing or damaged, or is no such head.
    """
    state = _read(path)
    layers: dict[int, dict[str, Tensor]] = {}
    for name, value in state.items():
        found = _LAYER.fullmatch(name)
        if found or name in ("weight", "bias"):
            number, part = (int(found[1]), found[2]) if found else (0, name)
            layers.setdefault(number, {})[part] = value.double()
    if not layers or sum(map(len, layers.values())) != len(state):
        raise _unsuitable(path, f"has tensors {', '.join(sorted(state)[:4])}")
    return _composed(path, [layers[number] for number in sorted(layers)], tensors_digest(state))


def _composed(path: Path, layers: list[dict[str, Tensor]], digest: str) -> AestheticHead:
    """The layers, applied one after another, as one."""
    weight, bias = torch.empty(0), torch.empty(0)
    for number, layer in enumerate(layers):
        if layer.keys() != {"weight", "bias"} or layer["weight"].shape[:1] != layer["bias"].shape:
            raise _unsuitable(path, "has a layer whose weight and bias do not fit")
        if number and layer["weight"].shape[1:] != weight.shape[:1]:
            raise _unsuitable(path, "has layers that do not fit each other")
        bias = layer["bias"] + (layer["weight"] @ bias if number else 0)
        weight = layer["weight"] @ weight if number else layer["weight"]
    if weight.ndim != 2 or len(weight) != 1:
        raise _unsuitable(path, f"ends in {tuple(weight.shape)} weights instead of one row")
    if not (torch.isfinite(weight).all() and torch.isfinite(bias).all()):
        raise _unsuitable(path, "has weights that are not finite")
    return AestheticHead(weight[0].float(), bias[0].float(), digest)


def _read(path: Path) -> dict[str, Tensor]:
    if weights_kind(path, _SETTING) == SAFETENSORS:
        return read_tensors(path, {key: key for key in file_keys(path, _SETTING)})
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, *DAMAGED_PICKLE) as error:
        raise AnimaticError(f"{path} ({_SETTING}) is damaged or contains more than weights") from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise _unsuitable(path, "contains no named tensors")
    return {str(name): value.float() for name, value in state.items()}


def _unsuitable(path: Path, problem: str) -> AnimaticError:
    return AnimaticError(
        f"{path} ({_SETTING}) {problem}; use a linear head of LAION's aesthetic-predictor (weight, bias) or "
        "one of improved-aesthetic-predictor (layers.0.weight, …)"
    )
