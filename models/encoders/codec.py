"""The frame codec between pixels and latents: Stable Diffusion's autoencoder, or a truncated DCT."""

import math
from abc import ABC, abstractmethod

import torch
from einops import rearrange
from torch import Tensor, nn

from core.errors import AnimaticError
from models.architecture import CodecConfig
from models.encoders.vae import load_vae

# Divisors of the DCT codec's latents: a patch's mean gets about unit variance over typical footage, higher
# frequencies less, so that what the eye sees first also survives the noise longest.
_MEAN_STD = 0.25
_FALL = 1.6


class Codec(nn.Module, ABC):
    """Frames to latents and back, frozen.

    ``encode``: (n 3 h w) in [-1, 1] -> (n c h/p w/p). ``decode``: the inverse, clamped to [-1, 1].
    """

    channels: int

    @abstractmethod
    def posterior(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of the frames' latents, (n c h/p w/p) each."""

    @abstractmethod
    def encoding(self) -> dict[str, Tensor]:
        """Every number that decides ``posterior``: latents of codecs that agree in it are the same."""

    def encode(self, pixels: Tensor, generators: list[torch.Generator] | None = None) -> Tensor:
        """``generators``: one per frame where latents are drawn; None takes the most likely latent."""
        mean, std = self.posterior(pixels)
        return mean if generators is None else draw_latents(mean, std, generators)

    @abstractmethod
    def decode(self, latents: Tensor) -> Tensor:
        """Latents (n c h/p w/p) -> pixels (n 3 h w) in [-1, 1]."""

    def train(self, mode: bool = True) -> "Codec":
        """Frozen: stays in evaluation mode whatever its parent does."""
        return super().train(False)


class DctCodec(Codec):
    """The lowest DCT coefficients of each patch of the luma and chroma planes.

    No weights: a fixed linear transform, inverted exactly on the coefficients that it keeps.
    """

    basis: Tensor
    colour: Tensor
    scale: Tensor

    def __init__(self, config: CodecConfig) -> None:
        super().__init__()
        self.patch, self.channels = config.patch, config.channels
        self.counts = (config.luma, config.chroma, config.chroma)
        kept = max(config.luma, config.chroma)
        if kept > config.patch**2:
            raise AnimaticError(
                f"a {config.patch}x{config.patch} patch has {config.patch**2} coefficients, not {kept} "
                "(model.codec.luma, model.codec.chroma)"
            )
        basis, scale = _dct_basis(config.patch, kept)
        self.register_buffer("basis", basis, persistent=False)
        self.register_buffer("scale", scale, persistent=False)
        # ITU-R BT.601 luma and chroma of RGB.
        colour = [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]]
        self.register_buffer("colour", torch.tensor(colour), persistent=False)

    @torch.no_grad()
    def posterior(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        planes = torch.einsum("dc,nchw->ndhw", self.colour, pixels)
        patches = rearrange(planes, "n d (h p) (w q) -> n d h w (p q)", p=self.patch, q=self.patch)
        coefficients = torch.einsum("kp,ndhwp->ndkhw", self.basis, patches) / self.scale[:, None, None]
        mean = torch.cat([coefficients[:, d, :count] for d, count in enumerate(self.counts)], dim=1)
        return mean, torch.zeros_like(mean)

    def encoding(self) -> dict[str, Tensor]:
        return {
            "basis": self.basis,
            "colour": self.colour,
            "scale": self.scale,
            "counts": torch.tensor(self.counts),
        }

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        planes = []
        for part in latents.float().split(self.counts, dim=1):
            count = part.shape[1]
            weighted = part * self.scale[:count, None, None]
            patches = torch.einsum("kp,nkhw->nhwp", self.basis[:count], weighted)
            planes.append(rearrange(patches, "n h w (p q) -> n (h p) (w q)", p=self.patch, q=self.patch))
        inverse = torch.linalg.inv(self.colour)
        return torch.einsum("cd,ndhw->nchw", inverse, torch.stack(planes, dim=1)).clamp(-1, 1)


class VaeCodec(Codec):
    """Stable Diffusion's AutoencoderKL through diffusers.

    Frames are encoded whole; those larger than ``decode_tile`` are decoded in overlapping tiles, blended
    where they meet. One 576x1024 frame in float32 takes 1.7 GiB of activations to decode whole (as the
    published code does), 0.75 GiB in tiles of 512. Tiles differ a little: their norms see less of the frame.
    """

    def __init__(self, config: CodecConfig) -> None:
        super().__init__()
        self.channels, self.scale, self.tile = config.channels, config.scale, config.decode_tile
        self.vae = load_vae(config).requires_grad_(False)
        if config.slicing:
            self.vae.enable_slicing()
        if self.tile is not None:
            self.vae.tile_sample_min_size = self.tile
            self.vae.tile_latent_min_size = self.tile // config.patch

    @torch.no_grad()
    def posterior(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        self.vae.disable_tiling()
        latents = self.vae.encode(pixels.to(self.vae.dtype)).latent_dist
        return latents.mean * self.scale, latents.std * self.scale

    def encoding(self) -> dict[str, Tensor]:
        named = {**dict(self.vae.named_parameters()), "scale": torch.tensor(self.scale)}
        return {name: x for name, x in named.items() if name.startswith(("encoder.", "quant_conv.", "scale"))}

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        if self.tile is not None:
            self.vae.enable_tiling()
        frames = self.vae.decode(latents.to(self.vae.dtype) / self.scale).sample
        return frames.float().clamp(-1, 1)


def build_codec(config: CodecConfig) -> Codec:
    """Codec of the configured kind."""
    return DctCodec(config) if config.kind == "dct" else VaeCodec(config)


def draw_latents(mean: Tensor, std: Tensor, generators: list[torch.Generator]) -> Tensor:
    """Latents (n c h w) of ``mean`` and ``std`` (n c h w each), one CPU generator per frame.

    Drawn on the CPU, frame by frame: a frame's latent depends neither on the device nor on its batch.
    """
    noise = torch.stack([torch.randn(mean.shape[1:], generator=generator) for generator in generators])
    return mean + std * noise.to(mean)


def _dct_basis(patch: int, kept: int) -> tuple[Tensor, Tensor]:
    """Orthonormal 2-D DCT-II basis functions by rising frequency (kept patch²), and their scales (kept)."""
    n = torch.arange(patch, dtype=torch.float64)
    one = torch.cos(math.pi / patch * (n[None] + 0.5) * n[:, None]) * math.sqrt(2 / patch)
    one[0] /= math.sqrt(2)
    order = sorted(((u, v) for u in range(patch) for v in range(patch)), key=lambda f: (math.hypot(*f), f))[
        :kept
    ]
    basis = torch.stack([torch.outer(one[u], one[v]).flatten() for u, v in order])
    scale = torch.tensor([_MEAN_STD * patch / (1 + _FALL * math.hypot(u, v)) for u, v in order])
    return basis.float(), scale.float()
