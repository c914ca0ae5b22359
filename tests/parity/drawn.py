"""Inputs and weights that are drawn from their names: the same everywhere, stored nowhere."""

import math
import zlib
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor


def draw(name: str, shape: Sequence[int]) -> Tensor:
    """Standard normal float32 values of ``shape``, seeded by the checksum of ``name``."""
    values = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(tuple(shape))
    return torch.from_numpy(np.asarray(values, dtype="float32"))


def weight(key: str, shape: Sequence[int], seed: str) -> Tensor:
    """A parameter by its public key: matrices keep the variance of their input, norms stay near one.

    Args:
        seed: the name drawn from; ``key`` itself in video cases.
    """
    values = draw(seed, shape)
    if len(shape) >= 2:
        return values / math.sqrt(math.prod(shape[1:]))
    if len(shape) == 0:
        return values * 0.5
    return 1 + 0.1 * values if key.endswith("weight") else 0.1 * values


def weights(parameters: Mapping[str, Sequence[int]], prefix: str = "") -> dict[str, Tensor]:
    """All parameters of a case; ``prefix`` goes before each key in the seed."""
    return {key: weight(key, shape, prefix + key) for key, shape in parameters.items()}
