"""The query transformer P: CLIP image tokens to context tokens (DynamiCrafter, section 3.2).

A Perceiver resampler (arXiv:2204.14198) with learned queries, a set of 16 for every frame of the clip. Clips
of another length select among the sets by :func:`frame_indices`.
"""

import math

import torch
from einops import rearrange, repeat
from torch import Tensor, nn

from core.errors import AnimaticError
from models.architecture import ContextConfig
from models.network.attention import attend


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
        return self.to_out(attend(self.to_q(queries), key, value, self.heads))


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

    With ``frames`` None there is one set of queries (stage 1, images) and t = 1. With ``tokens`` "class" only
    the first image token, CLIP's class token, is read.
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

    def forward(self, tokens: Tensor, frames: int | None = None) -> Tensor:
        """Context for a clip.

        Args:
            tokens: (b n image_dim).
            frames: of the clip; None takes the configured number. The query sets always work together as
                they were trained; the clip's frames then share their context by :func:`frame_indices`.

        Returns:
            (b frames queries context_dim).
        """
        if self.config.tokens == "class":
            tokens = tokens[:, :1]
        tokens = self.proj_in(tokens.to(self.proj_in.weight.dtype))
        queries = repeat(self.latents, "1 m d -> b m d", b=tokens.shape[0]).to(tokens.dtype)
        for layer in self.layers:
            queries = layer(tokens, queries)
        context = self.norm_out(self.proj_out(queries))
        context = rearrange(context, "b (t q) c -> b t q c", q=self.config.queries)
        sets = context.shape[1]
        return context if frames in (None, sets) else context[:, frame_indices(sets, frames)]


def frame_indices(sets: int, frames: int) -> list[int]:
    """Which of ``sets`` trained query sets each of ``frames`` frames uses: the nearest in time.

    Frame i takes set round(i·(sets - 1) / (frames - 1)), halves rounded up: the first frame keeps the first
    set, the last frame the last, and as many frames as sets is the identity. Sets are never blended, so that
    every frame gets queries that were trained.

    Raises:
        AnimaticError: where ``sets`` or ``frames`` is not positive.
    """
    if sets < 1 or frames < 1:
        raise AnimaticError(f"a clip of {frames} frames from {sets} query sets: both must be positive")
    last = max(frames - 1, 1)
    return [(2 * i * (sets - 1) + last) // (2 * last) for i in range(frames)]


def resample_queries(latents: Tensor, queries: int, frames: int) -> Tensor:
    """Queries of P for a network for clips of another length.

    Args:
        latents: (1 sets·queries dim), a set of queries per frame, or one set for an image (stage 1).
        queries: size of a set.
        frames: of the new network.

    Returns:
        (1 frames·queries dim), a copy; sets are chosen by :func:`frame_indices`, a single one is repeated.

    Raises:
        AnimaticError: where ``latents`` is not a whole number of sets.
    """
    if latents.shape[1] % queries:
        raise AnimaticError(f"{latents.shape[1]} queries are no whole number of sets of {queries}")
    sets = rearrange(latents, "1 (t q) d -> t q d", q=queries)
    return rearrange(sets[frame_indices(len(sets), frames)], "t q d -> 1 (t q) d")


def _feed_forward(config: ContextConfig) -> nn.Sequential:
    inner = config.dim * config.ff_mult
    return nn.Sequential(
        nn.LayerNorm(config.dim),
        nn.Linear(config.dim, inner, bias=False),
        nn.GELU(),
        nn.Linear(inner, config.dim, bias=False),
    )
