"""Activation checkpointing (arXiv:1604.06174): less memory for activations, some of them computed twice."""

from collections.abc import Iterator
from functools import partial

from torch import nn
from torch.utils.checkpoint import checkpoint

from models.network.attention import SpatialTransformer, TemporalTransformer
from models.network.settings import ActivationCheckpointing
from models.network.unet import UNet


def checkpoint_activations(unet: UNet, scope: ActivationCheckpointing) -> None:
    """Keep only the inputs of the chosen modules for the backward pass, in place.

    Args:
        scope: "selective": every transformer, where most of the activations are; "full": every step of the
            network on its way down and up, convolutions included.
    """
    for module in _modules(unet, scope):
        module.forward = partial(checkpoint, module.forward, use_reentrant=False)


def _modules(unet: UNet, scope: ActivationCheckpointing) -> Iterator[nn.Module]:
    if scope == "full":
        yield from (*unet.encoder, unet.middle, *unet.decoder)
    elif scope == "selective":
        for module in unet.modules():
            if isinstance(module, SpatialTransformer | TemporalTransformer):
                yield module
