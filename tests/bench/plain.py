"""The plain forms that the network is measured against."""

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

import torch
from einops import rearrange, repeat
from torch import Tensor, nn

from models.network.blocks import TemporalConv
from models.network.unet import UNet


def einsum_attend(query: Tensor, key: Tensor, value: Tensor, heads: int) -> Tensor:
    """``models.network.attention.attend`` written out, with the whole matrix of weights in memory."""
    groups = query.shape[0] // key.shape[0]
    key, value = (repeat(x, "r m c -> (r g) m c", g=groups) for x in (key, value))
    q, k, v = (rearrange(x, "b n (h d) -> (b h) n d", h=heads) for x in (query, key, value))
    weights = (torch.einsum("bid,bjd->bij", q, k) * q.shape[-1] ** -0.5).softmax(dim=-1)
    return rearrange(torch.einsum("bij,bjd->bid", weights, v), "(b h) n d -> b n (h d)", h=heads)


@contextmanager
def einsum_attention() -> Iterator[None]:
    """Every attention of the UNet written out."""
    with patch("models.network.attention.attend", einsum_attend):
        yield


@contextmanager
def contiguous_layout(unet: UNet) -> Iterator[None]:
    """Channels first throughout: what the first convolution gets decides what the others return."""
    hook = unet.conv_in.register_forward_pre_hook(lambda _, arguments: arguments[0].contiguous())
    try:
        yield
    finally:
        hook.remove()


@contextmanager
def published_structure(unet: UNet) -> Iterator[None]:
    """Channels first, and temporal convolutions as the 3-D ones that they are in the published code."""
    with contiguous_layout(unet), patch.object(TemporalConv, "forward", nn.Conv3d.forward):
        yield
