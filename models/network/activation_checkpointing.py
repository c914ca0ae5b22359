"""Activation checkpointing: what of the UNet's forward pass is computed again in the backward pass."""

from collections.abc import Iterator
from functools import partial

from torch import nn
from torch.utils.checkpoint import checkpoint

from models.network.attention import SpatialTransformer, TemporalTransformer
from models.network.choices import Recompute
from models.network.unet import UNet


def recompute(unet: UNet, what: Recompute) -> None:
    """Keep only the inputs of the chosen modules for the backward pass, in place.

    ``selective``: every transformer, which holds most of the activations. ``full``: every step of the network
    on its way down and up, convolutions included.
    """
    for module in _modules(unet, what):
        module.forward = partial(checkpoint, module.forward, use_reentrant=False)


def _modules(unet: UNet, what: Recompute) -> Iterator[nn.Module]:
    if what == "full":
        yield from (*unet.encoder, unet.middle, *unet.decoder)
    elif what == "selective":
        for module in unet.modules():
            if isinstance(module, SpatialTransformer | TemporalTransformer):
                yield module
