"""Compilation of the network's repeated blocks (torch.compile), where nearly all of its time goes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import MethodType
from typing import Any

import torch
from torch import nn

from core.errors import AnimaticError
from models.network.attention import SpatialTransformer, TemporalTransformer
from models.network.blocks import ResBlock
from models.network.settings import Compilation
from models.network.unet import UNet

# Instances of a class differ in widths and in whether they change them; each combination is compiled once for
# each shape of clips. Above the limit torch would silently stop compiling.
_MOST_VARIANTS = 1024

BLOCKS: tuple[type[nn.Module], ...] = (ResBlock, SpatialTransformer, TemporalTransformer)


def compile_blocks(
    unet: UNet, backend: str | Callable[..., Any] = "inductor", *, mode: str | None = None
) -> None:
    """Compile the residual blocks and transformers, in place, as they are first called.

    One function for each class, whose parameters are arguments: blocks of equal shapes share the result.
    Shapes are constants of the compiled code, so each bucket has its own. Names of parameters do not change.
    To be called before ``checkpoint_activations``, which then recomputes compiled blocks.

    Args:
        backend, mode: of ``torch.compile``.
    """
    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, _MOST_VARIANTS)
    torch._dynamo.config.accumulated_recompile_limit = max(
        torch._dynamo.config.accumulated_recompile_limit, _MOST_VARIANTS
    )
    compiled = {
        block: torch.compile(block.forward, dynamic=False, fullgraph=True, backend=backend, mode=mode)
        for block in BLOCKS
    }
    for module in unet.modules():
        if type(module) in compiled:
            module.forward = MethodType(compiled[type(module)], module)


def compile_for_sampling(
    unet: UNet, compilation: Compilation, backend: str | Callable[..., Any] = "inductor"
) -> None:
    """Compile the blocks of a network that samples, in place; nothing for "off".

    With "graphs", each block is a CUDA graph too: the host launches one in place of many kernels. Where there
    is no CUDA device, "graphs" is "blocks". Results differ by rounding.
    """
    if compilation == "off":
        return
    graphs = compilation == "graphs" and torch.cuda.is_available()
    compile_blocks(unet, backend, mode="reduce-overhead" if graphs else None)
    if graphs:
        # What graphs return is valid until the next pass, which writes it again.
        unet.register_forward_pre_hook(lambda *_: torch.compiler.cudagraph_mark_step_begin())


@contextmanager
def compiler_errors(compilation: Compilation) -> Iterator[None]:
    """Inside, AnimaticError in place of what torch's compiler raises, as where a C++ compiler is missing."""
    if compilation == "off":
        yield
        return
    # Imported here: it takes seconds.
    from torch._dynamo.exc import TorchDynamoException
    from torch._inductor.exc import InductorError

    try:
        yield
    except (TorchDynamoException, InductorError) as error:
        # The first paragraph has the cause, the others advice for developers of torch.
        cause = " ".join(str(error).strip().partition("\n\n")[0].split())
        raise AnimaticError(
            f"torch.compile does not work here ({cause}): sample without compilation"
        ) from error
