"""Descriptions of the initial values of new tensors."""

import re

from torch import nn

# The last layers of residual branches and of embeddings beside the time, which start without effect.
_ZERO_AT_FIRST = re.compile(
    r"^unet\.(conv_out|(fps|guidance|motion)_embedding\.2|.*\.proj_out|.*\.out_layers\.3|.*\.temopral_conv\.conv4\.3)\.\w+$"
    r"|\.lora_B\.weight$"
)


def initial_values(network: nn.Module) -> dict[str, str]:
    """A description of the initial values of every parameter, by name."""
    return {
        f"{prefix}.{leaf}": _description(f"{prefix}.{leaf}", module)
        for prefix, module in network.named_modules()
        for leaf, _ in module.named_parameters(recurse=False)
    }


def _description(name: str, module: nn.Module) -> str:
    leaf = name.rpartition(".")[2]
    if _ZERO_AT_FIRST.search(name):
        return "zeros"
    if isinstance(module, nn.LayerNorm | nn.GroupNorm):
        return "ones" if leaf == "weight" else "zeros"
    if name == "context.latents":
        return "normal / sqrt(width)"
    if leaf == "alpha":
        return "zeros"
    layer = next(base for base in (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d) if isinstance(module, base))
    return f"torch's default for {layer.__name__}"
