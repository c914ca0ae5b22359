"""What is known of AdamW's moments of 8 bits (``optimizer.kind=adamw_8bit``) without the package for them."""

import importlib.util

from core.errors import AnimaticError
from training.config import RunConfig

# Of torchao 0.18: values of a block, the least size of a parameter that has blocks, and its table of codes.
_BLOCK, _LEAST_SIZE, _CODES = 256, 4096, 256
_FP32 = 4


def check_installed(config: RunConfig) -> None:
    """Raise AnimaticError where ``optimizer.kind`` needs a package that is not installed."""
    if config.optimizer.kind == "adamw_8bit" and importlib.util.find_spec("torchao") is None:
        raise AnimaticError(
            "optimizer.kind adamw_8bit needs torchao: pip install 'animatic[8bit]', or set "
            "optimizer.kind=adamw"
        )


def moment_bytes(numel: int) -> int:
    """Bytes of both moments of a parameter of so many values: a code for each value, a scale for each block
    and a table of codes; or fp32, where it is small or not of whole blocks."""
    if numel < _LEAST_SIZE or numel % _BLOCK:
        return 2 * _FP32 * numel
    return 2 * (numel + _FP32 * (numel // _BLOCK + _CODES))
