"""The published frame codec: Stable Diffusion's autoencoder."""

import torch
from torch import Tensor

from models.architecture import CodecConfig
from models.encoders.codec import Codec
from models.encoders.vae import build_vae, load_vae


class VaeCodec(Codec):
    """Stable Diffusion's AutoencoderKL through diffusers.

    Frames are encoded whole; those larger than ``decode_tile`` are decoded in overlapping tiles, blended
    where they meet. One 576x1024 frame in float32 takes 1.7 GiB of activations to decode whole (as the
    published code does), 0.75 GiB in tiles of 512. Tiles differ a little: their norms see less of the frame.
    """

    def __init__(self, config: CodecConfig, *, weights: bool = True) -> None:
        """``weights``: False reads no file; see :func:`models.encoders.build.build_codec`."""
        super().__init__()
        self.channels, self.scale, self.tile = config.channels, config.scale, config.decode_tile
        vae = load_vae(config) if weights else build_vae(config, device="meta")
        self.vae = vae.requires_grad_(False)
        if config.slicing:
            self.vae.enable_slicing()
        if self.tile is not None:
            self.vae.tile_sample_min_size = self.tile
            self.vae.tile_latent_min_size = self.tile // config.patch

    def _posterior(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        self.vae.disable_tiling()
        latents = self.vae.encode(pixels).latent_dist
        return latents.mean * self.scale, latents.std * self.scale

    def encoding(self) -> dict[str, Tensor]:
        named = {**dict(self.vae.named_parameters()), "scale": torch.tensor(self.scale)}
        return {name: x for name, x in named.items() if name.startswith(("encoder.", "quant_conv.", "scale"))}

    def _decode(self, latents: Tensor) -> Tensor:
        if self.tile is not None:
            self.vae.enable_tiling()
        frames: Tensor = self.vae.decode(latents / self.scale).sample
        return frames
