"""The space-time UNet of DynamiCrafter and VideoCrafter, and its image-only half.

``temporal=False`` builds the Stable Diffusion UNet (with image cross-attention where configured): the same
modules under the same internal names, so that weights move between image and video networks by name.
"""

from collections.abc import Iterator
from itertools import islice
from itertools import repeat as endlessly

import torch
from einops import rearrange, repeat
from torch import Tensor, nn

from core.errors import AnimaticError
from models.architecture import UNetConfig
from models.network.attention import GroupNorm, TemporalTransformer, fan_out, zero
from models.network.blocks import Downsample, Layer, ResBlock, build_decoder, build_encoder
from models.network.conditioning import LayerContext, ProjectedContext, Tokens, token_rows
from models.network.deep_features import SHALLOW_LAYERS, DeepFeatures
from models.network.embeddings import GuidanceEmbedding, MotionEmbedding, sinusoid

_INIT_ATTENTION_HEADS = 8


class Middle(nn.Module):
    """Residual block, spatial and temporal transformer, residual block at the coarsest level."""

    def __init__(self, config: UNetConfig, channels: int) -> None:
        super().__init__()
        self.layer = Layer(config, channels, channels, attention=True)
        self.resnet = ResBlock(config, channels, channels)

    def forward(
        self, x: Tensor, emb: Tensor, text: Tokens, image: Tokens | None, frames: int | None
    ) -> Tensor:
        return self.resnet(self.layer(x, emb, text, image, frames), emb, frames)


class UNet(nn.Module):
    """Predicts noise or v from noisy latents, time, frame rate, text and image context.

    In any precision the residual stream between blocks is float32: its rounding would add up over the depth,
    and the normalisations, which read it in float32, keep it for the backward pass anyway.
    """

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        width, emb_dim = config.model_channels, config.model_channels * 4
        self.time_embed = nn.Sequential(nn.Linear(width, emb_dim), nn.SiLU(), nn.Linear(emb_dim, emb_dim))
        self.fps_embedding = None
        if config.fps_condition:
            self.fps_embedding = nn.Sequential(
                nn.Linear(width, emb_dim), nn.SiLU(), zero(nn.Linear(emb_dim, emb_dim))
            )
        self.guidance_embedding = GuidanceEmbedding(width, emb_dim) if config.guidance_embedding else None
        self.motion_embedding = MotionEmbedding(width, emb_dim) if config.motion_condition else None
        self.conv_in = nn.Conv2d(config.in_channels, width, 3, padding=1)
        self.temporal_in = None
        if config.temporal:
            self.temporal_in = TemporalTransformer(
                width,
                config.num_head_channels,
                config.norm_groups,
                inner=_INIT_ATTENTION_HEADS * config.num_head_channels,
                conv=True,
                depth=config.transformer_depth,
            )
        self.encoder, skips = build_encoder(config)
        self.middle = Middle(config, skips[-1])
        self.decoder = build_decoder(config, skips)
        self.norm_out = GroupNorm(config.norm_groups, width)
        self.conv_out = zero(nn.Conv2d(width, config.latent_channels, 3, padding=1))

    def forward(
        self,
        latents: Tensor,
        timesteps: Tensor,
        text: Tensor | ProjectedContext,
        image: Tensor | None = None,
        fps: Tensor | None = None,
        *,
        temporal: bool = True,
        image_attention: bool = True,
        conditions: int = 1,
        guidance: Tensor | None = None,
        deep: DeepFeatures | None = None,
        motion: Tensor | None = None,
    ) -> Tensor:
        """Predict noise or v.

        Args:
            latents: (b c t h w) noisy latents, with the condition's latents concatenated where the network
                has detail guidance; t is any number.
            timesteps: (b) diffusion steps.
            text: (b n context_dim) shared by all frames, or (b t n context_dim) per frame; or the result of
                :meth:`project`, which includes the image context.
            image: (b q context_dim) shared, or (b t q context_dim) per frame.
            fps: (b) frame rates (or strides, for the 256 model); None takes the configured default.
            temporal: False treats frames as independent images (temporal layers left out).
            image_attention: False leaves the image branch out; ``image`` must then be None.
            conditions: contexts n per sample (guidance): text and image are then of n·b samples, ordered
                (n b). What comes before the first attention to them is computed once.
            guidance: (b 2) scales of guidance by text and image that the prediction is to have, for a network
                with guidance embedding; None: 1, which is no guidance.
            deep: filled where it is empty; where it is not, for latents of these shapes, the deep layers are
                left out and it takes the place of their result.
            motion: (b) subject motion, percent of the short side a frame, NaN where unspecified, for a
                network with motion condition; None: unspecified.

        Returns:
            (n·b latent_channels t h w), in the type of the weights.

        Raises:
            AnimaticError: where a context does not fit the latents or the network.
        """
        batch, _, frames, _, _ = latents.shape
        contexts = self._contexts(text, image, conditions * batch, frames, image_attention)
        emb = repeat(self._embed(timesteps, fps, guidance, motion), "b e -> (b t) e", t=frames)
        mixing = frames if temporal and self.config.temporal else None
        x = rearrange(latents, "b c t h w -> (b t) c h w").to(self.conv_in.weight.dtype)
        # Channels last: convolutions are faster, and pixels are tokens without a copy.
        x = self.conv_in(x.contiguous(memory_format=torch.channels_last)).float()
        if self.temporal_in is not None and mixing is not None:
            x = self.temporal_in(x, mixing)
        x = self._denoise(x, emb, contexts, mixing, conditions, deep)
        x = self.conv_out(nn.functional.silu(self.norm_out(x)))
        return rearrange(x, "(b t) c h w -> b c t h w", t=frames)

    def project(
        self, text: Tensor, image: Tensor | None = None, *, image_attention: bool = True
    ) -> ProjectedContext:
        """Keys and values of every cross-attention, for many forward passes with one context.

        Args as in :meth:`forward`, with the same errors.
        """
        given = [tokens for tokens in (text, image) if tokens is not None and tokens.dim() == 4]
        frames = given[0].shape[1] if given else None
        batch = text.shape[0]
        text_rows, image_rows = self._rows(text, image, batch, frames, image_attention)
        layers: list[LayerContext] = [
            layer.spatial.project(text_rows, image_rows) if layer.spatial else (text_rows, image_rows)
            for layer in self._layers()
        ]
        return ProjectedContext(tuple(layers), batch, frames)

    def _contexts(
        self,
        text: Tensor | ProjectedContext,
        image: Tensor | None,
        batch: int,
        frames: int,
        image_attention: bool,
    ) -> Iterator[LayerContext]:
        """The context of each layer in the order of computation."""
        if not isinstance(text, ProjectedContext):
            return endlessly(self._rows(text, image, batch, frames, image_attention))
        if image is not None:
            raise AnimaticError("a projected context includes the image already: leave image out")
        text.check(batch, frames)
        return iter(text.layers)

    def _rows(
        self, text: Tensor, image: Tensor | None, batch: int, frames: int | None, image_attention: bool
    ) -> tuple[Tensor, Tensor | None]:
        """Text and image context as rows of tokens, checked against the contract."""
        wanted = self.config.image_cross_attention and image_attention
        if wanted and image is None:
            raise AnimaticError(
                "this network attends to image tokens and got none: give image, or leave the branch out with "
                "image_attention=False"
            )
        if image is not None and not wanted:
            reason = "is switched off" if self.config.image_cross_attention else "is not in this network"
            raise AnimaticError(f"image context was given, but image attention {reason}: leave image out")
        width, dtype = self.config.context_dim, self.conv_in.weight.dtype
        text = token_rows("text", text, batch, frames, width).to(dtype)
        return text, None if image is None else token_rows("image", image, batch, frames, width).to(dtype)

    def _layers(self) -> list[Layer]:
        """Layers in the order of computation."""
        encoder = [layer for layer in self.encoder if isinstance(layer, Layer)]
        return [*encoder, self.middle.layer, *self.decoder]

    def _embed(
        self, timesteps: Tensor, fps: Tensor | None, guidance: Tensor | None, motion: Tensor | None
    ) -> Tensor:
        width, dtype = self.config.model_channels, self.conv_in.weight.dtype
        emb = self.time_embed(sinusoid(timesteps, width).to(dtype))
        if self.fps_embedding is not None:
            if fps is None:
                fps = torch.full_like(timesteps, self.config.default_fps)
            emb = emb + self.fps_embedding(sinusoid(fps, width).to(dtype))
        if self.guidance_embedding is not None:
            if guidance is None:
                guidance = torch.ones(len(timesteps), 2, device=timesteps.device)
            emb = emb + self.guidance_embedding(guidance)
        elif guidance is not None:
            raise AnimaticError("guidance was given, but this network has no embedding for it: leave it out")
        if motion is not None:
            if self.motion_embedding is None:
                raise AnimaticError(
                    "motion was given, but this network has no condition for it: leave it out"
                )
            emb = emb + self.motion_embedding(motion)
        return emb

    def _denoise(
        self,
        x: Tensor,
        emb: Tensor,
        contexts: Iterator[LayerContext],
        frames: int | None,
        conditions: int,
        deep: DeepFeatures | None,
    ) -> Tensor:
        skips, reused = [x], None if deep is None else deep.rows
        for layer in islice(self.encoder, None if reused is None else SHALLOW_LAYERS):
            if isinstance(layer, Downsample):
                x = layer(x)
            else:
                x = layer(x, emb, *next(contexts), frames, conditions)
                if conditions > 1 and layer.spatial is not None:
                    emb, skips = fan_out(emb, conditions), [fan_out(skip, conditions) for skip in skips]
                    conditions = 1
            skips.append(x)
        x, emb = fan_out(x, conditions), fan_out(emb, conditions)
        skips = [fan_out(skip, conditions) for skip in skips]
        up = [*self.decoder]
        if reused is None:
            x = self.middle(x, emb, *next(contexts), frames)
            for layer in up[: -SHALLOW_LAYERS - 1]:
                x = layer(torch.cat([x, skips.pop()], dim=1), emb, *next(contexts), frames)
            if deep is not None:
                deep.rows = x
        else:
            x = reused
            for _ in range(len(self._layers()) - 2 * SHALLOW_LAYERS - 1):
                next(contexts)
        for layer in up[-SHALLOW_LAYERS - 1 :]:
            x = layer(torch.cat([x, skips.pop()], dim=1), emb, *next(contexts), frames)
        return x

    def public_prefixes(self) -> Iterator[tuple[str, str]]:
        """Pairs (internal module path, path in the published checkpoints) that cover every parameter.

        The published layout numbers modules by position, so the upsampling convolution's index depends on
        whether the network has transformers and temporal layers.
        """
        yield "time_embed", "time_embed"
        for name in ("fps_embedding", "guidance_embedding", "motion_embedding"):
            if getattr(self, name) is not None:
                yield name, name
        yield "conv_in", "input_blocks.0.0"
        if self.temporal_in is not None:
            yield "temporal_in", "init_attn.0"
        for index, layer in enumerate(self.encoder):
            if isinstance(layer, Downsample):
                yield f"encoder.{index}", f"input_blocks.{index + 1}.0"
            else:
                yield from _layer_prefixes(layer, f"encoder.{index}", f"input_blocks.{index + 1}")
        yield from _layer_prefixes(self.middle.layer, "middle.layer", "middle_block")
        yield "middle.resnet", f"middle_block.{len(_parts(self.middle.layer))}"
        for index, layer in enumerate(self.decoder):
            yield from _layer_prefixes(layer, f"decoder.{index}", f"output_blocks.{index}")
        yield "norm_out", "out.0"
        yield "conv_out", "out.2"


def _parts(layer: nn.Module) -> list[str]:
    names = ("resnet", "spatial", "temporal", "upsample")
    return [name for name in names if getattr(layer, name) is not None]


def _layer_prefixes(layer: nn.Module, internal: str, public: str) -> Iterator[tuple[str, str]]:
    for position, name in enumerate(_parts(layer)):
        yield f"{internal}.{name}", f"{public}.{position}"
