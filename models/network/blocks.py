"""Residual and resampling blocks of the space-time UNet.

Module names inside a block follow the published checkpoints (``temopral_conv`` included).
"""

import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from models.architecture import UNetConfig
from models.network.attention import GroupNorm, SpatialTransformer, TemporalTransformer, zero
from models.network.conditioning import Tokens


class TemporalConv(nn.Conv3d):
    """Convolution over three frames at every pixel.

    The weight keeps the published shape (c, c, 3, 1, 1); the product is computed as a 2-D convolution over
    (frames, pixels), which is the same sum and faster on every backend we measured.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, (3, 1, 1), padding=(1, 0, 0))

    def forward(self, x: Tensor) -> Tensor:
        """``x``: (b c t h w)."""
        flat = F.conv2d(x.flatten(3), self.weight.squeeze(-1), self.bias, padding=(1, 0))
        return flat.view_as(x)


class TemporalConvBlock(nn.Module):
    """Four temporal convolutions as a residual; the last starts at zero."""

    def __init__(self, channels: int, groups: int, dropout: float) -> None:
        super().__init__()
        self.conv1 = nn.Sequential(GroupNorm(groups, channels), nn.SiLU(), TemporalConv(channels))
        self.conv2, self.conv3, self.conv4 = (
            nn.Sequential(GroupNorm(groups, channels), nn.SiLU(), nn.Dropout(dropout), TemporalConv(channels))
            for _ in range(3)
        )
        zero(self.conv4[-1])

    def forward(self, x: Tensor) -> Tensor:
        """``x``: (b c t h w)."""
        return x + self.conv4(self.conv3(self.conv2(self.conv1(x))))


class ResBlock(nn.Module):
    """Two convolutions with the time embedding added between, then the temporal convolutions."""

    def __init__(self, config: UNetConfig, channels: int, out_channels: int) -> None:
        super().__init__()
        groups, emb_dim = config.norm_groups, config.model_channels * 4
        self.in_layers = nn.Sequential(
            GroupNorm(groups, channels), nn.SiLU(), nn.Conv2d(channels, out_channels, 3, padding=1)
        )
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(emb_dim, out_channels))
        self.out_layers = nn.Sequential(
            GroupNorm(groups, out_channels),
            nn.SiLU(),
            nn.Dropout(config.dropout),
            zero(nn.Conv2d(out_channels, out_channels, 3, padding=1)),
        )
        self.skip_connection = (
            nn.Identity() if channels == out_channels else nn.Conv2d(channels, out_channels, 1)
        )
        self.temopral_conv = (
            TemporalConvBlock(out_channels, groups, config.dropout) if config.temporal else None
        )

    def forward(self, x: Tensor, emb: Tensor, frames: int | None) -> Tensor:
        """``x``: (b·t c h w); ``emb``: (b·t e); ``frames`` None leaves the temporal convolutions out."""
        hidden = self.in_layers(x) + self.emb_layers(emb)[:, :, None, None]
        x = self._skip(x) + self.out_layers(hidden)
        if self.temopral_conv is None or frames is None:
            return x
        video = self.temopral_conv(rearrange(x, "(b t) c h w -> b c t h w", t=frames))
        return rearrange(video, "b c t h w -> (b t) c h w")

    def _skip(self, x: Tensor) -> Tensor:
        """The residual stream at this block's width."""
        if isinstance(self.skip_connection, nn.Conv2d):
            return self.skip_connection(x.to(self.skip_connection.weight.dtype)).float()
        return x


class Downsample(nn.Module):
    """Halves height and width with a strided convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.op = nn.Conv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.op(x.to(self.op.weight.dtype)).float()


class Upsample(nn.Module):
    """Doubles height and width: nearest neighbour, then a convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.interpolate(x.to(self.conv.weight.dtype), scale_factor=2, mode="nearest")
        return self.conv(x).float()


class Layer(nn.Module):
    """One step of the UNet: residual block, then spatial and temporal transformer where configured."""

    def __init__(
        self,
        config: UNetConfig,
        channels: int,
        out_channels: int,
        *,
        attention: bool,
        upsample: bool = False,
    ) -> None:
        super().__init__()
        self.resnet = ResBlock(config, channels, out_channels)
        self.spatial = spatial_transformer(config, out_channels) if attention else None
        self.temporal = (
            TemporalTransformer(
                out_channels, config.num_head_channels, config.norm_groups, depth=config.transformer_depth
            )
            if attention and config.temporal
            else None
        )
        self.upsample = Upsample(out_channels) if upsample else None

    def forward(
        self,
        x: Tensor,
        emb: Tensor,
        text: Tokens,
        image: Tokens | None,
        frames: int | None,
        conditions: int = 1,
    ) -> Tensor:
        """Shapes as in ResBlock; ``text``, ``image``, ``conditions`` as in SpatialTransformer."""
        x = self.resnet(x, emb, frames)
        if self.spatial is not None:
            x = self.spatial(x, text, image, conditions)
        if self.temporal is not None and frames is not None:
            x = self.temporal(x, frames)
        return x if self.upsample is None else self.upsample(x)


def spatial_transformer(config: UNetConfig, channels: int) -> SpatialTransformer:
    """Spatial transformer of the given width for this network."""
    return SpatialTransformer(
        channels,
        config.num_head_channels,
        config.context_dim,
        config.norm_groups,
        image=config.image_cross_attention,
        gate=config.learnable_gate,
        depth=config.transformer_depth,
    )


def build_encoder(config: UNetConfig) -> tuple[nn.ModuleList, list[int]]:
    """Layers on the way down and the widths of the skips, conv_in's first."""
    layers = nn.ModuleList()
    channels = config.model_channels
    skips, factor = [channels], 1
    for level, mult in enumerate(config.channel_mult):
        for _ in range(config.num_res_blocks):
            out = mult * config.model_channels
            layers.append(Layer(config, channels, out, attention=factor in config.attention_resolutions))
            channels = out
            skips.append(channels)
        if level < len(config.channel_mult) - 1:
            layers.append(Downsample(channels))
            skips.append(channels)
            factor *= 2
    return layers, skips


def build_decoder(config: UNetConfig, skips: list[int]) -> nn.ModuleList:
    """Layers on the way up, each of which takes the last skip that is left."""
    layers = nn.ModuleList()
    remaining, channels = list(skips), skips[-1]
    for level in reversed(range(len(config.channel_mult))):
        out = config.channel_mult[level] * config.model_channels
        for index in range(config.num_res_blocks + 1):
            layers.append(
                Layer(
                    config,
                    channels + remaining.pop(),
                    out,
                    attention=2**level in config.attention_resolutions,
                    upsample=level > 0 and index == config.num_res_blocks,
                )
            )
            channels = out
    return layers
