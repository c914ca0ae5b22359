"""The query transformer P: CLIP image tokens to context tokens (DynamiCrafter, section 3.2).

A Perceiver resampler (arXiv:2204.14198) with learned queries, 16 for every frame of the clip.
"""

import math

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from torch import Tensor, nn

from models.architecture import ContextConfig


class PerceiverAttention(nn.Module):
    """Queries attend to the image tokens and to themselves."""

    def __init__(self, config: ContextConfig) -> None:
        super().__init__()
        inner = config.heads * config.dim_head
        self.heads = config.heads
        self.norm1 = nn.LayerNorm(config.dim)
        self.norm2 = nn.LayerNorm(config.dim)
        self.to_q = nn.Linear(config.dim, inner, bias=False)
        self.to_kv = nn.Linear(config.dim, inner * 2, bias=False)
        self.to_out = nn.Linear(inner, config.dim, bias=False)

    def forward(self, tokens: Tensor, queries: Tensor) -> Tensor:
        """``tokens``: (b n dim) image tokens; ``queries``: (b m dim)."""
        tokens, queries = self.norm1(tokens), self.norm2(queries)
        key, value = self.to_kv(torch.cat([tokens, queries], dim=1)).chunk(2, dim=-1)
        q, k, v = (
            rearrange(x, "b n (h d) -> b h n d", h=self.heads) for x in (self.to_q(queries), key, value)
        )
        out = F.scaled_dot_product_attention(q, k, v)
        return self.to_out(rearrange(out, "b h n d -> b n (h d)"))


class ResamplerLayer(nn.ModuleList):
    """Attention, then feed-forward, both as residuals; a list because the published keys number them."""

    def __init__(self, config: ContextConfig) -> None:
        super().__init__([PerceiverAttention(config), _feed_forward(config)])

    def forward(self, tokens: Tensor, queries: Tensor) -> Tensor:
        """``tokens``: (b n dim); ``queries``: (b m dim)."""
        queries = queries + self[0](tokens, queries)
        return queries + self[1](queries)


class QueryTransformer(nn.Module):
    """P: image tokens (b n image_dim) -> context tokens (b t queries context_dim), t the config's frames.

    With ``frames`` None there is one set of queries (stage 1, images) and t = 1.
    """

    def __init__(self, config: ContextConfig) -> None:
        super().__init__()
        self.config = config
        count = config.queries * (config.frames or 1)
        self.latents = nn.Parameter(torch.randn(1, count, config.dim) / math.sqrt(config.dim))
        self.proj_in = nn.Linear(config.image_dim, config.dim)
        self.proj_out = nn.Linear(config.dim, config.context_dim)
        self.norm_out = nn.LayerNorm(config.context_dim)
        self.layers = nn.ModuleList(ResamplerLayer(config) for _ in range(config.depth))

    def forward(self, tokens: Tensor) -> Tensor:
        """``tokens``: (b n image_dim)."""
        queries = repeat(self.latents, "1 m d -> b m d", b=tokens.shape[0]).to(tokens.dtype)
        tokens = self.proj_in(tokens)
        for layer in self.layers:
            queries = layer(tokens, queries)
        context = self.norm_out(self.proj_out(queries))
        return rearrange(context, "b (t q) c -> b t q c", q=self.config.queries)


def repeat_queries(latents: Tensor, frames: int) -> Tensor:
    """Queries of an image (1 q d) repeated for every frame: (1 frames·q d), the hand-over to stage 2."""
    return repeat(latents, "1 q d -> 1 (t q) d", t=frames).clone()


def _feed_forward(config: ContextConfig) -> nn.Sequential:
    inner = config.dim * config.ff_mult
    return nn.Sequential(
        nn.LayerNorm(config.dim),
        nn.Linear(config.dim, inner, bias=False),
        nn.GELU(),
        nn.Linear(inner, config.dim, bias=False),
    )
