"""Attention and the two transformers of the space-time UNet.

Every attention is ``scaled_dot_product_attention``. The spatial transformer's cross-attention has two
branches over the same query (DynamiCrafter, section 3.2): text tokens, and image tokens per frame.
"""

from contextlib import nullcontext
from typing import TypeVar, cast

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from torch import Tensor, nn

from models.network.conditioning import KeyValue, LayerContext, Tokens

# CUDA's attention kernels have a grid index for every row, of 16 bits.
MAX_ROWS = 2**16 - 1
# Values in the widest tensor of a feed-forward on a CPU without a backward pass: such a tensor stays in the
# cache, and is too small for the system to clear its pages at every allocation.
_PART = 2**19

Module = TypeVar("Module", bound=nn.Module)


class GroupNorm(nn.GroupNorm):
    """GroupNorm of the residual stream: computed in float32, returned in the type that the network works in.

    That is autocast's type where it is on, else the weights'. The stream itself stays float32 (see UNet).
    Channels that are last stay last, also where the device's kernel returns them first.
    """

    def forward(self, x: Tensor) -> Tensor:
        device = x.device.type
        autocast = torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)
        dtype = torch.get_autocast_dtype(device) if autocast else self.weight.dtype
        with torch.autocast(device, enabled=False) if autocast else nullcontext():
            normed = F.group_norm(
                x.float(), self.num_groups, self.weight.float(), self.bias.float(), self.eps
            )
            return normed.to(dtype, memory_format=_layout(x))


def _layout(x: Tensor) -> torch.memory_format:
    """Channels last where ``x``, (b c h w) or (b c t h w), has them last."""
    last = torch.channels_last if x.dim() == 4 else torch.channels_last_3d
    return last if x.is_contiguous(memory_format=last) else torch.preserve_format


def attend(query: Tensor, key: Tensor, value: Tensor, heads: int) -> Tensor:
    """Multi-head attention of ``(r·g n h*d)`` queries over ``(r m h*d)`` keys and values.

    g consecutive rows of queries, the frames of a clip, share a row of keys: they attend as one sequence of
    g·n queries, so that keys and values are never repeated. More than MAX_ROWS rows, the pixels of several
    large clips in temporal attention, are computed in parts.
    """
    rows, groups = key.shape[0], query.shape[0] // key.shape[0]
    q = rearrange(query, "(r g) n (h d) -> r h (g n) d", r=rows, h=heads)
    k, v = (rearrange(x, "r m (h d) -> r h m d", h=heads) for x in (key, value))
    if q.device.type == "cpu" and q.dtype != torch.float32:
        # The CPU's fused kernel is faster in float32 than in bfloat16, conversion included.
        with torch.autocast("cpu", enabled=False):
            out = _by_rows(q.float(), k.float(), v.float()).to(value.dtype)
    else:
        out = _by_rows(q, k, v)
    return rearrange(out, "r h (g n) d -> (r g) n (h d)", g=groups)


def _by_rows(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attention of (r h n d) tensors, at most MAX_ROWS rows at a time."""
    if query.shape[0] <= MAX_ROWS:
        return F.scaled_dot_product_attention(query, key, value)
    parts = zip(*(tensor.split(MAX_ROWS) for tensor in (query, key, value)), strict=True)
    return torch.cat([F.scaled_dot_product_attention(*part) for part in parts])


class SelfAttention(nn.Module):
    """Attention of tokens ``(b n c)`` to themselves; no biases but the output's."""

    def __init__(self, dim: int, dim_head: int) -> None:
        super().__init__()
        self.heads = dim // dim_head
        self.to_q = nn.Linear(dim, dim, bias=False)
        self.to_k = nn.Linear(dim, dim, bias=False)
        self.to_v = nn.Linear(dim, dim, bias=False)
        self.to_out = nn.Sequential(nn.Linear(dim, dim))

    def forward(self, x: Tensor) -> Tensor:
        return self.to_out(attend(self.to_q(x), self.to_k(x), self.to_v(x), self.heads))


class DualCrossAttention(nn.Module):
    """Cross-attention to text tokens plus, with the same query, to image tokens.

    Output = to_out(A_text + g * A_image), g = tanh(alpha) + 1 where the gate is learned (alpha starts at
    0), else 1 (DynamiCrafter eq. 3 as published in code).
    """

    def __init__(self, dim: int, dim_head: int, context_dim: int, *, image: bool, gate: bool) -> None:
        super().__init__()
        self.heads = dim // dim_head
        self.to_q = nn.Linear(dim, dim, bias=False)
        self.to_k = nn.Linear(context_dim, dim, bias=False)
        self.to_v = nn.Linear(context_dim, dim, bias=False)
        self.to_out = nn.Sequential(nn.Linear(dim, dim))
        if image:
            self.to_k_ip = nn.Linear(context_dim, dim, bias=False)
            self.to_v_ip = nn.Linear(context_dim, dim, bias=False)
            if gate:
                self.alpha = nn.Parameter(torch.tensor(0.0))
        self.image, self.gate = image, image and gate

    def forward(self, x: Tensor, text: Tokens, image: Tokens | None) -> Tensor:
        """``x``: (b·t n c); ``text`` and ``image``: tokens, or their projection; ``image`` None skips it."""
        query = self.to_q(x)
        out = attend(query, *self.project_text(text), self.heads)
        if self.image and image is not None:
            out_image = attend(query, *self.project_image(image), self.heads)
            out = out + (out_image * (torch.tanh(self.alpha) + 1) if self.gate else out_image)
        return self.to_out(out)

    def project_text(self, tokens: Tokens) -> KeyValue:
        """Keys and values of text tokens (r m context_dim), r = b or b·t; those given are returned."""
        return (self.to_k(tokens), self.to_v(tokens)) if isinstance(tokens, Tensor) else tokens

    def project_image(self, tokens: Tokens) -> KeyValue:
        """Keys and values of image tokens, likewise."""
        return (self.to_k_ip(tokens), self.to_v_ip(tokens)) if isinstance(tokens, Tensor) else tokens


class GEGLU(nn.Module):
    """Linear layer gated by the GELU of its second half (arXiv:2002.05202)."""

    def __init__(self, dim: int, dim_out: int) -> None:
        super().__init__()
        self.proj = nn.Linear(dim, dim_out * 2)

    def forward(self, x: Tensor) -> Tensor:
        value, gate = self.proj(x).chunk(2, dim=-1)
        return value * F.gelu(gate)


class FeedForward(nn.Module):
    """GEGLU feed-forward, four times as wide inside."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        # The published layout has a dropout at index 1.
        self.net = nn.Sequential(GEGLU(dim, dim * 4), nn.Identity(), nn.Linear(dim * 4, dim))
        self._part = max(_PART // (dim * 8), 1)

    def forward(self, x: Tensor) -> Tensor:
        """``x``: (b n c)."""
        if x.device.type != "cpu" or torch.is_grad_enabled() or torch.compiler.is_compiling():
            return self.net(x)
        parts = [self.net(part) for part in x.flatten(0, 1).split(self._part)]
        return torch.cat(parts).view_as(x)


class SpatialBlock(nn.Module):
    """Self-attention over space, dual cross-attention to the context, feed-forward."""

    def __init__(self, dim: int, dim_head: int, context_dim: int, *, image: bool, gate: bool) -> None:
        super().__init__()
        self.attn1 = SelfAttention(dim, dim_head)
        self.attn2 = DualCrossAttention(dim, dim_head, context_dim, image=image, gate=gate)
        self.ff = FeedForward(dim)
        self.norm1, self.norm2, self.norm3 = nn.LayerNorm(dim), nn.LayerNorm(dim), nn.LayerNorm(dim)

    def forward(self, x: Tensor, text: Tokens, image: Tokens | None, conditions: int = 1) -> Tensor:
        x = fan_out(x + self.attn1(self.norm1(x)), conditions)
        x = x + self.attn2(self.norm2(x), text, image)
        return x + self.ff(self.norm3(x))


class TemporalBlock(nn.Module):
    """Two self-attentions over time, feed-forward; no positional encoding, as published."""

    def __init__(self, dim: int, dim_head: int) -> None:
        super().__init__()
        self.attn1 = SelfAttention(dim, dim_head)
        self.attn2 = SelfAttention(dim, dim_head)
        self.ff = FeedForward(dim)
        self.norm1, self.norm2, self.norm3 = nn.LayerNorm(dim), nn.LayerNorm(dim), nn.LayerNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn1(self.norm1(x))
        x = x + self.attn2(self.norm2(x))
        return x + self.ff(self.norm3(x))


class SpatialTransformer(nn.Module):
    """Attention among the pixels of each frame and to the context, as a residual."""

    def __init__(
        self,
        channels: int,
        dim_head: int,
        context_dim: int,
        groups: int,
        *,
        image: bool,
        gate: bool,
        depth: int = 1,
    ) -> None:
        super().__init__()
        self.norm = GroupNorm(groups, channels, eps=1e-6)
        self.proj_in = nn.Linear(channels, channels)
        self.transformer_blocks = nn.ModuleList(
            SpatialBlock(channels, dim_head, context_dim, image=image, gate=gate) for _ in range(depth)
        )
        self.proj_out = zero(nn.Linear(channels, channels))

    def forward(self, x: Tensor, text: Tokens, image: Tokens | None, conditions: int = 1) -> Tensor:
        """``x``: (b·t c h w); ``text``, ``image``: context of rows b or b·t.

        ``conditions`` n > 1: the context is of n·b samples, and so is the result.
        """
        height = x.shape[-2]
        tokens = self.proj_in(rearrange(self.norm(x), "bt c h w -> bt (h w) c"))
        for index, block in enumerate(self.transformer_blocks):
            tokens = block(tokens, text, image, conditions if index == 0 else 1)
        return fan_out(x, conditions) + rearrange(self.proj_out(tokens), "bt (h w) c -> bt c h w", h=height)

    def project(self, text: Tensor, image: Tensor | None) -> LayerContext:
        """Keys and values of the context's rows (r m context_dim), to pass to ``forward`` in their place.

        Deeper than the published one block, the blocks project the rows themselves: these are returned.
        """
        if len(self.transformer_blocks) > 1:
            return text, image
        cross = cast(DualCrossAttention, self.transformer_blocks[0].attn2)
        return cross.project_text(text), None if image is None else cross.project_image(image)


class TemporalTransformer(nn.Module):
    """Attention among the frames at each pixel, as a residual.

    The one behind the first convolution projects with kernel-1 convolutions to ``inner`` channels
    (``conv=True``); the others are square and linear.
    """

    def __init__(
        self,
        channels: int,
        dim_head: int,
        groups: int,
        *,
        inner: int | None = None,
        conv: bool = False,
        depth: int = 1,
    ) -> None:
        super().__init__()
        inner = inner or channels
        self.conv = conv
        self.norm = GroupNorm(groups, channels, eps=1e-6)
        self.proj_in = nn.Conv1d(channels, inner, 1) if conv else nn.Linear(channels, inner)
        self.transformer_blocks = nn.ModuleList(TemporalBlock(inner, dim_head) for _ in range(depth))
        self.proj_out = zero(nn.Conv1d(inner, channels, 1) if conv else nn.Linear(inner, channels))

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """``x``: (b·t c h w), t = ``frames``."""
        height = x.shape[-2]
        video = rearrange(x, "(b t) c h w -> b c t h w", t=frames)
        tokens = rearrange(self.norm(video), "b c t h w -> (b h w) t c")
        tokens = self._project(self.proj_in, tokens)
        for block in self.transformer_blocks:
            tokens = block(tokens)
        tokens = self._project(self.proj_out, tokens)
        # Added as a video: tokens are a view of it, but not of (b·t c h w), which would be a copy.
        video = video + rearrange(tokens, "(b h w) t c -> b c t h w", h=height, w=x.shape[-1])
        return rearrange(video, "b c t h w -> (b t) c h w")

    def _project(self, layer: nn.Module, tokens: Tensor) -> Tensor:
        if not self.conv:
            return layer(tokens)
        return layer(tokens.transpose(1, 2)).transpose(1, 2)


def fan_out(x: Tensor, conditions: int) -> Tensor:
    """Rows (r ...) repeated for every condition: (n·r ...); itself for one."""
    return x if conditions == 1 else repeat(x, "r ... -> (n r) ...", n=conditions)


def zero(module: Module) -> Module:
    """Set every parameter of ``module`` to zero, so that its residual branch starts as the identity."""
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    return module
