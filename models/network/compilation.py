"""Compilation of the network's repeated blocks (torch.compile), where nearly all of its time goes."""

from collections.abc import Callable
from types import MethodType
from typing import Any

import torch
from torch import nn

from models.network.attention import SpatialTransformer, TemporalTransformer
from models.network.blocks import ResBlock
from models.network.unet import UNet

# Instances of a class differ in widths and in whether they change them; each combination is compiled once for
# each shape of clips. Above the limit torch would silently stop compiling.
_MOST_VARIANTS = 1024

BLOCKS: tuple[type[nn.Module], ...] = (ResBlock, SpatialTransformer, TemporalTransformer)


def compile_blocks(unet: UNet, backend: str | Callable[..., Any] = "inductor") -> None:
    """Compile the residual blocks and transformers, in place, as they are first called.

    One function for each class, whose parameters are arguments: blocks of equal shapes share the result.
    Shapes are constants of the compiled code, so each bucket has its own. Names of parameters do not change.
    To be called before ``checkpoint_activations``, which then recomputes compiled blocks.

    Args:
        backend: of ``torch.compile``.
    """
    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, _MOST_VARIANTS)
    torch._dynamo.config.accumulated_recompile_limit = max(
        torch._dynamo.config.accumulated_recompile_limit, _MOST_VARIANTS
    )
    compiled = {
        block: torch.compile(block.forward, dynamic=False, fullgraph=True, backend=backend)
        for block in BLOCKS
    }
    for module in unet.modules():
        if type(module) in compiled:
            module.forward = MethodType(compiled[type(module)], module)
