"""The denoising objective of stages 0 to 3 (DDPM, arXiv:2006.11239; v-prediction, arXiv:2202.00512).

Every random number is drawn from the seed of its own sample: the loss depends on the samples of the batch,
not on how they are distributed over processes. The host draws and decides, and never waits for the device.
"""

from collections.abc import Sequence

import torch
from einops import rearrange
from torch import Tensor

from models.animator import Animator
from models.batch import Batch
from models.denoising import DenoisingInputs, denoising_errors, latent_posteriors
from models.encoders.codec import draw_latents
from models.frozen_parts import move, on_device
from models.pixels import to_signed
from training.clock import StepClock
from training.config.sections import ObjectiveConfig
from training.objectives.base import Losses
from training.objectives.min_snr import min_snr_weights

# Each sample's generators: one for its noise and diffusion step, one for the latents of its frames.
NOISE_STREAM, _LATENT_STREAM = 0, 1


class DenoisingObjective:
    """Mean squared error of the network's prediction (noise or v) at a random diffusion step of each sample.

    Each error is weighted by its step where ``options.min_snr_gamma`` is set.

    Attributes:
        animator: its network is trained; its encoders and codec stay frozen. Codec and text tower are taken
            to the network's device by the first batch that needs them.
    """

    def __init__(
        self, animator: Animator, clock: StepClock | None = None, options: ObjectiveConfig | None = None
    ) -> None:
        """``clock``: times the encoders. Raises AnimaticError where min-SNR weights are undefined."""
        self.animator = animator
        self._clock, self._options = clock or StepClock(), options or ObjectiveConfig()
        self._empty_caption: Tensor | None = None
        gamma = self._options.min_snr_gamma
        self._weights = None if gamma is None else min_snr_weights(animator.diffusion.config, gamma)

    def __call__(self, batch: Batch, *, temporal: bool = True) -> Losses:
        """The losses; their mean over samples is minimised.

        Args:
            temporal: False trains on the frames as independent images, without the temporal layers.
        """
        animator = self.animator
        batch = batch.to(animator.device)
        seeds: list[int] = batch.seed.tolist()
        with self._clock.phase("encode"):
            still = to_signed(batch.stills)
            latents = self._clip_latents(batch, seeds)
            text = self._text_context(batch)
        noise, timesteps, given = self._draw(seeds, latents.shape[1:])
        # As published, a dropped image is a grey one for CLIP, not an empty token.
        kept = ~batch.drop_image.to(animator.device, non_blocking=True)
        still = still * kept[:, None, None, None]
        inputs = DenoisingInputs(
            latents=latents,
            condition_index=batch.condition_index,
            text=text,
            image=self._image_context(still, latents.shape[2]),
            fps=batch.fps,
            motion=self._motion(batch, temporal=temporal),
            given=None if given is None else given.to(latents.device, non_blocking=True),
        )
        weights = None if self._weights is None else self._weights[timesteps].to(latents, non_blocking=True)
        noise = noise.to(latents, non_blocking=True)
        timesteps = timesteps.to(latents.device, non_blocking=True)
        errors = denoising_errors(animator, inputs, noise, timesteps, temporal=temporal)
        losses = errors if weights is None else errors * weights
        return Losses(losses.mean(), losses.detach(), timesteps)

    def _motion(self, batch: Batch, *, temporal: bool) -> Tensor | None:
        """Subject motion (b), unspecified for frames that are trained on as images."""
        if not self.animator.architecture.unet.motion_condition:
            return None
        known = temporal and batch.motion is not None
        return batch.motion if known else torch.full_like(batch.fps, torch.nan)

    def _image_context(self, still: Tensor, frames: int) -> Tensor | None:
        """Image tokens (b t q c); None for a network without image attention."""
        context = self.animator.network.context
        if context is None:
            return None
        with self._clock.phase("encode"):
            features = self.animator.encoders.image(still)
        return context(features, frames)

    def _text_context(self, batch: Batch) -> Tensor:
        """Text tokens (b n c), those of the empty caption where the text is dropped."""
        encoders = self.animator.encoders
        if batch.text is None:
            move(self.animator, "text tower", self.animator.device)
            pairs = zip(batch.captions, batch.drop_text.tolist(), strict=True)
            return encoders.text(["" if drop else text for text, drop in pairs])
        if self._empty_caption is None:
            # Kept: with stored features, the text tower is needed for nothing else.
            with on_device(self.animator, "text tower"):
                self._empty_caption = encoders.text([""])
        dropped = batch.drop_text.to(self.animator.device, non_blocking=True)[:, None, None]
        return torch.where(dropped, self._empty_caption, batch.text.float())

    def _clip_latents(self, batch: Batch, seeds: Sequence[int]) -> Tensor:
        """Latents (b c t h w), encoded from the pixels or drawn from the batch's stored posteriors."""
        if batch.latents is None:
            move(self.animator, "codec", self.animator.device)
        mean, std = latent_posteriors(self.animator, batch)
        generators = [sample_generator(seed, _LATENT_STREAM) for seed in seeds]
        drawn = draw_latents(mean.flatten(0, 1), std.flatten(0, 1), generators)
        return rearrange(drawn, "(b t) c h w -> b c t h w", b=len(seeds))

    def _draw(self, seeds: Sequence[int], shape: torch.Size) -> tuple[Tensor, Tensor, Tensor | None]:
        """Noise (b, *shape), diffusion steps (b), and which samples have their condition (b); None: all.

        On the CPU, each sample's from its own seed. Offset noise, if any, is drawn for each frame of a
        channel, as in DynamiCrafter's code.
        """
        noise, timesteps, given = [], [], []
        share = self._options.condition_share
        for seed in seeds:
            generator = sample_generator(seed, NOISE_STREAM)
            timesteps.append(torch.randint(self.animator.diffusion.config.timesteps, (), generator=generator))
            drawn = torch.randn(shape, generator=generator)
            if self._options.offset_noise:
                channels, frames, *_ = shape
                drawn += self._options.offset_noise * torch.randn(channels, frames, 1, 1, generator=generator)
            noise.append(drawn)
            if share is not None:
                given.append(torch.rand((), generator=generator) < share)
        return torch.stack(noise), torch.stack(timesteps), torch.stack(given) if given else None


def sample_generator(seed: int, stream: int) -> torch.Generator:
    """The generator of a sample's draws; ``stream``: one of this module's."""
    return torch.Generator().manual_seed((seed * 2 + stream) % 2**63)
