"""A small convolutional autoencoder of frames, for networks of a few million parameters.

Of the structure of Stable Diffusion's autoencoder (arXiv:2112.10752): residual blocks, a strided convolution
from level to level, one block more per level on the way up. It has neither normalisations, which would mix
distant parts of a frame, nor attention, and its first level works on blocks of 2x2 pixels, which costs a
quarter. Its posterior is a point: noise that was added to the latents in training replaces the variance.
"""

from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from core.errors import AnimaticError
from models import PRIOR_WEIGHTS, public_keys
from models.architecture import CodecConfig
from models.encoders.codec import Codec
from models.encoders.digests import tensors_digest
from models.encoders.weight_files import check_weights, file_keys, read_tensors

_BLOCK = 2  # pixels along each side of what the first level works on


class ConvCodec(Codec):
    """The autoencoder with its trained weights, frozen.

    The latents of typical footage have mean 0 and standard deviation 1 in each channel.
    """

    def __init__(self, config: CodecConfig, *, weights: bool = True) -> None:
        """``weights``: False reads no file: see :func:`models.encoders.build.build_codec`.

        Raises AnimaticError where weights are missing, do not fit, or are not those of ``config.digest``.
        """
        super().__init__()
        self.channels = config.channels
        with torch.device("meta"):
            self.network = Autoencoder(config)
        if weights:
            found, path = read_weights(config)
            check_weights(found, self.network.state_dict(), f"{path} (model.codec.path)")
            _check_digest(config, found, path)
            self.network.load_state_dict(found, assign=True)
        self.network.requires_grad_(False)

    def encoding(self) -> dict[str, Tensor]:
        state = self.network.state_dict()
        return {name: value for name, value in state.items() if name.startswith("encoder.")}

    def _posterior(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        mean = self.network.encode(pixels)
        return mean, torch.zeros_like(mean)

    def _decode(self, latents: Tensor) -> Tensor:
        return self.network.decode(latents)


class Autoencoder(nn.Module):
    """Encoder and decoder of frames; trainable."""

    def __init__(self, config: CodecConfig) -> None:
        super().__init__()
        widths = [config.width * mult for mult in config.channel_mult]
        self.encoder = _encoder(widths, config.res_blocks, config.channels)
        self.decoder = _decoder(widths, config.res_blocks + 1, config.channels)

    def encode(self, pixels: Tensor) -> Tensor:
        """Latents (n c h/p w/p) of frames (n 3 h w) in [-1, 1]."""
        return cast(Tensor, self.encoder(pixels))

    def decode(self, latents: Tensor) -> Tensor:
        """Frames (n 3 h w) of latents (n c h/p w/p)."""
        return cast(Tensor, self.decoder(latents))


class ResidualBlock(nn.Module):
    """x + two convolutions of x, the last of which starts at zero."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(cast(Tensor, self.second.bias))

    def forward(self, x: Tensor) -> Tensor:
        return x + cast(Tensor, self.second(functional.silu(self.first(functional.silu(x)))))


def _encoder(widths: list[int], blocks: int, channels: int) -> nn.Sequential:
    layers: list[nn.Module] = [nn.PixelUnshuffle(_BLOCK), nn.Conv2d(3 * _BLOCK**2, widths[0], 3, padding=1)]
    for level, width in enumerate(widths):
        if level:
            layers.append(nn.Conv2d(widths[level - 1], width, 3, stride=2, padding=1))
        layers += [ResidualBlock(width) for _ in range(blocks)]
    return nn.Sequential(*layers, nn.SiLU(), nn.Conv2d(widths[-1], channels, 3, padding=1))


def _decoder(widths: list[int], blocks: int, channels: int) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Conv2d(channels, widths[-1], 3, padding=1)]
    for level in reversed(range(len(widths))):
        layers += [ResidualBlock(widths[level]) for _ in range(blocks)]
        if level:
            layers += [nn.Upsample(scale_factor=2), nn.Conv2d(widths[level], widths[level - 1], 3, padding=1)]
    last = nn.Conv2d(widths[0], 3 * _BLOCK**2, 3, padding=1)
    return nn.Sequential(*layers, nn.SiLU(), last, nn.PixelShuffle(_BLOCK))


def weights_file(config: CodecConfig) -> Path:
    """The file with the weights: ``config.path``, without one the prior's that ships with the code."""
    return PRIOR_WEIGHTS if config.path is None else Path(config.path)


def read_weights(config: CodecConfig) -> tuple[dict[str, Tensor], Path]:
    """The weights by name in float32, and the file that has them among others.

    Raises AnimaticError where the file is missing or damaged.
    """
    path, prefix = weights_file(config), public_keys.AUTOENCODER
    names = {key: key.removeprefix(prefix) for key in file_keys(path, "model.codec.path")}
    return read_tensors(path, {key: name for key, name in names.items() if key.startswith(prefix)}), path


def with_digest(config: CodecConfig) -> CodecConfig:
    """The same codec with the digest of its weights: a network understands the latents of no other."""
    if config.kind != "conv":
        return config
    return config.model_copy(update={"digest": tensors_digest(read_weights(config)[0])})


def _check_digest(config: CodecConfig, found: dict[str, Tensor], path: Path) -> None:
    if config.digest is None:
        return
    digest = tensors_digest(found)
    if digest != config.digest:
        raise AnimaticError(
            f"the network was trained with frame codec {config.digest[:12]}, but {path} has "
            f"{digest[:12]}: name a bundle or file that has the former (--codec, or model.codec.path)"
        )
