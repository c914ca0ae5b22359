"""The assembled model: conditions, training loss, and animation of a still image."""

from collections.abc import Sequence

import torch
from einops import rearrange
from torch import Tensor, nn

from models.animate import Mode, over_time, sample_latents
from models.architecture import Architecture
from models.batch import Batch
from models.diffusion.sampler import Progress, SamplingSettings
from models.diffusion.schedule import Diffusion, loss
from models.encoders.clip import ClipEncoders
from models.encoders.codec import build_codec, draw_latents
from models.network import parameter_names
from models.network.context import QueryTransformer
from models.network.unet import UNet
from models.pixels import to_signed

_NOISE, _LATENT = 0, 1


class Animator(nn.Module):
    """UNet and query transformer (trained) with frozen encoders and codec."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        self.unet = UNet(architecture.unet)
        self.context = QueryTransformer(architecture.context) if architecture.context else None
        self.diffusion = Diffusion(architecture.diffusion)
        self.encoders = ClipEncoders(architecture.encoders)
        self.codec = build_codec(architecture.codec)

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return self.unet.conv_in.weight.device

    def trainable_candidates(self) -> dict[str, nn.Parameter]:
        """Parameters of UNet (``unet.…``) and query transformer (``context.…``) by internal name."""
        return {
            name: parameter
            for name, parameter in self.named_parameters()
            if name.startswith(("unet.", "context."))
        }

    def network_state(self) -> dict[str, Tensor]:
        """Weights of UNet and query transformer under their public key names."""
        public = parameter_names.public_names(self)
        return {public[name]: value.detach() for name, value in self.trainable_candidates().items()}

    def load_network_state(self, state: dict[str, Tensor], strict: bool = True) -> None:
        """Copy weights given under public key names into the network.

        Raises:
            AnimaticError: listing tensors that are missing or unexpected (``strict``) or of another shape.
        """
        parameter_names.load(self, state, strict=strict)

    def forward(self, batch: Batch, temporal: bool = True) -> Tensor:
        """The training loss: what DeepSpeed's engine calls."""
        return self.training_loss(batch, temporal=temporal)

    def training_loss(self, batch: Batch, *, temporal: bool = True) -> Tensor:
        """Denoising loss, the mean over samples (scalar).

        Args:
            temporal: False trains on the frames as independent images, temporal layers left out.
        """
        still = to_signed(batch.stills.to(self.device))
        latents = self._clip_latents(batch)
        noise, timesteps = self._draw(batch.seed, latents)
        noisy, target = self.diffusion.noise(latents, noise, timesteps)
        if self.architecture.unet.detail_guidance:
            rows = torch.arange(len(batch), device=self.device)
            condition = latents.transpose(1, 2)[rows, batch.condition_index]
            noisy = torch.cat([noisy, over_time(condition, latents.shape[2])], dim=1)
        # The image condition is dropped as published: CLIP sees a grey image, not an empty token.
        still = still * (~batch.drop_image.to(self.device))[:, None, None, None]
        prediction = self.unet(
            noisy,
            timesteps,
            self._text_context(batch),
            self._image_context(still, latents.shape[2]),
            batch.fps.to(self.device),
            temporal=temporal,
        )
        return loss(prediction, target).mean()

    @torch.no_grad()
    def animate(
        self,
        image: Tensor,
        prompts: Sequence[str],
        settings: SamplingSettings,
        progress: Progress | None = None,
        *,
        mode: Mode = "animate",
        last: Tensor | None = None,
        frames: int | None = None,
    ) -> Tensor:
        """Animate still images.

        Args:
            image: (b 3 h w) in [-1, 1] at the architecture's height and width.
            prompts: b texts.
            settings: sampling; sample i draws its noise from (settings.seed, i), whatever it is batched with.
            progress: called with (steps done, steps).
            mode: "animate" moves on from the image; "interpolate" ends at ``last``; "loop" ends where it
                began. The last two need a network with detail guidance, trained for them.
            last: (b 3 h w), the last frames to interpolate to.
            frames: sampled per clip; None takes the architecture's. A loop shows one less.

        Returns:
            (b t 3 h w) in [-1, 1], float32 on the CPU; t = 1 for a network without temporal layers.

        Raises:
            AnimaticError: where images, mode and network do not go together.
        """
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=settings.precision == "bfloat16"):
            latents = sample_latents(
                self, image, prompts, settings, mode=mode, last=last, frames=frames, progress=progress
            )
        pixels = self.codec.decode(rearrange(latents.float(), "b c t h w -> (b t) c h w"))
        return rearrange(pixels, "(b t) c h w -> b t c h w", b=len(prompts)).cpu()

    def _image_context(self, image: Tensor, frames: int) -> Tensor | None:
        """Images (b 3 h w) -> context (b t q context_dim); None for a network without image attention."""
        return None if self.context is None else self.context(self.encoders.image(image), frames)

    def _text_context(self, batch: Batch) -> Tensor:
        """Text tokens (b n c), those of the empty caption where the text is dropped."""
        if batch.text is None:
            pairs = zip(batch.captions, batch.drop_text, strict=True)
            return self.encoders.text(["" if drop else text for text, drop in pairs])
        dropped = batch.drop_text.to(self.device)[:, None, None]
        return torch.where(dropped, self.encoders.text([""]), batch.text.to(self.device).float())

    def _clip_latents(self, batch: Batch) -> Tensor:
        """Latents (b c t h w); frames of a sample draw from its own generator."""
        if batch.latents is None:
            frames = batch.pixels.shape[1]
            pixels = rearrange(batch.pixels.to(self.device), "b t c h w -> (b t) c h w")
            mean, std = self.codec.posterior(to_signed(pixels))
        else:
            frames = batch.latents.shape[1]
            latents = batch.latents.to(self.device).float()
            mean, std = rearrange(latents, "b t p c h w -> p (b t) c h w")
        generators = [_generator(int(seed), _LATENT) for seed in batch.seed for _ in range(frames)]
        return rearrange(draw_latents(mean, std, generators), "(b t) c h w -> b c t h w", t=frames)

    def _draw(self, seeds: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """Noise like ``like`` (b ...) and diffusion steps (b), each sample's from its own seed."""
        noise, steps = [], []
        for seed in seeds:
            generator = _generator(int(seed), _NOISE)
            steps.append(torch.randint(self.diffusion.config.timesteps, (), generator=generator))
            noise.append(torch.randn(like.shape[1:], generator=generator))
        return torch.stack(noise).to(like), torch.stack(steps).to(like.device)


def _generator(seed: int, purpose: int) -> torch.Generator:
    return torch.Generator().manual_seed((seed * 2 + purpose) % 2**63)
