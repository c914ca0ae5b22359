"""A video case through our modules: every output that its file may list."""

from collections.abc import Callable
from functools import cached_property

import torch
from einops import repeat
from torch import Tensor

from models.animate import NetworkDenoiser
from models.denoising import squared_error
from models.diffusion.sampler import sample, timesteps
from models.diffusion.settings import SamplingSettings
from models.encoders.vae_codec import VaeCodec
from models.network.parameter_names import public_names
from tests.parity.building import drawn_animator
from tests.parity.cases import VideoCase
from tests.parity.drawn import draw

TEXT_TOKENS, IMAGE_TOKENS = 77, 257
# The published network gives every frame its own image tokens where there are this many of them per frame,
# and all of them to every frame otherwise.
_TOKENS_PER_FRAME = 16
_DYNAMIC_RESCALE_STEPS = 400


class VideoNumbers:
    """Our network's outputs for a case, each computed on demand, on ``device``."""

    def __init__(self, case: VideoCase, device: str = "cpu") -> None:
        self.case, self.animator, self._device = case, drawn_animator(case).to(device), device
        unet = case.unet
        size = (case.batch, unet.out_channels, case.frames, *case.latent_hw)
        self.z, self.noise, self.x_t = (self._draw(name, *size) for name in ("z", "noise", "x_T"))
        self.text = self._draw("text", case.batch, TEXT_TOKENS, unet.context_dim)
        self.text_null = self._null("text_null", TEXT_TOKENS, unet.context_dim)
        width = case.resampler.embedding_dim
        self.clip = self._draw("clip", case.batch, IMAGE_TOKENS, width)
        self.clip_null = self._null("clip_null", IMAGE_TOKENS, width)
        self.t, self.fps = torch.tensor(case.t, device=device), torch.tensor(case.fs, device=device)

    def outputs(self) -> dict[str, Callable[[], Tensor]]:
        """Name -> output, for every output that this tool knows and the case's parts allow."""
        known = {
            "resampler_out": lambda: self._tokens(self.clip).detach().flatten(1, 2),
            "unet_out": lambda: self._predict(self.z, self.fps),
            "unet_out_default_fs": lambda: self._predict(self.z, None),
            "x_noisy": lambda: self._diffused[0],
            "target": lambda: self._diffused[1],
            "loss": lambda: self._loss.detach().reshape(1),
            "ddim_single_guidance": lambda: self._sample(None),
            "ddim_multi_guidance": lambda: self._sample(self.case.ddim.image_guidance),
            "ddim_timesteps": self._timesteps,
            "alphas_cumprod": lambda: self.animator.diffusion.alphas_cumprod,
        }
        if self.case.base_scale is not None:
            known["scale_arr"] = self._published_scale
        if self.case.vae is not None:
            known |= {
                "vae_latent_mean": lambda: self._posterior[0],
                "vae_latent_logvar": lambda: self._posterior[1],
                "vae_decoded": self._decode,
            }
        return known

    def gradient_norms(self) -> dict[str, float]:
        """L2 norm of the loss gradient by public key, of UNet and query transformer."""
        self.animator.zero_grad(set_to_none=True)
        self._loss.backward()
        names = public_names(self.animator.network)
        return {
            names[name]: 0.0 if parameter.grad is None else float(parameter.grad.norm())
            for name, parameter in self.animator.network.named_parameters()
        }

    def _draw(self, name: str, *shape: int) -> Tensor:
        return draw(f"{self.case.case}/{name}", shape).to(self._device)

    def _null(self, name: str, *shape: int) -> Tensor:
        """(1 n c) drawn once, (b n c) returned."""
        return repeat(self._draw(name, 1, *shape), "1 n c -> b n c", b=self.case.batch)

    def _tokens(self, clip: Tensor) -> Tensor:
        """CLIP tokens (b n c) through the query transformer -> (b sets q c)."""
        assert self.animator.network.context is not None
        return self.animator.network.context(clip)

    def _context(self, clip: Tensor) -> Tensor:
        """CLIP tokens (b n c) -> image tokens per frame (b t q c)."""
        tokens = self._tokens(clip)
        if tokens.shape[1] * tokens.shape[2] == _TOKENS_PER_FRAME * self.case.frames:
            return tokens.reshape(tokens.shape[0], self.case.frames, _TOKENS_PER_FRAME, -1)
        return repeat(tokens, "b s q c -> b t (s q) c", t=self.case.frames)

    @cached_property
    def _condition(self) -> Tensor | None:
        """Latents concatenated to the noisy ones (b c t h w), for networks that take them."""
        if not self.animator.architecture.unet.detail_guidance:
            return None
        if self.case.mode == "i2v":
            index = self.case.conditioning_frame
            assert index is not None  # the case was validated
            return repeat(self.z[:, :, index], "b c h w -> b c t h w", t=self.case.frames)
        ends = torch.zeros_like(self.z)
        ends[:, :, 0], ends[:, :, -1] = self.z[:, :, 0], self.z[:, :, -1]
        return ends

    def _with_condition(self, latents: Tensor) -> Tensor:
        return latents if self._condition is None else torch.cat([latents, self._condition], dim=1)

    @torch.no_grad()
    def _predict(self, latents: Tensor, fps: Tensor | None) -> Tensor:
        inputs = self._with_condition(latents)
        return self.animator.network.unet(inputs, self.t, self.text, self._context(self.clip), fps)

    @cached_property
    def _diffused(self) -> tuple[Tensor, Tensor]:
        return self.animator.diffusion.diffuse(self.z, self.noise, self.t)

    @cached_property
    def _loss(self) -> Tensor:
        """The training objective (scalar), with its graph: gradients flow into the query transformer too."""
        noisy, target = self._diffused
        inputs, context = self._with_condition(noisy), self._context(self.clip)
        prediction = self.animator.network.unet(inputs, self.t, self.text, context, self.fps)
        return squared_error(prediction, target).mean()

    @torch.no_grad()
    def _sample(self, image_guidance: float | None) -> Tensor:
        """DDIM from ``x_T``; ``image_guidance`` None guides text and image together."""
        context, context_null = self._context(self.clip), self._context(self.clip_null)
        texts = {"none": self.text_null, "image": self.text_null, "both": self.text}
        images = {"none": context_null, "image": context, "both": context}
        denoise = NetworkDenoiser(self.animator.network.unet, texts, images, self._condition, self.fps)
        ddim = self.case.ddim
        settings = SamplingSettings(
            steps=ddim.steps,
            eta=ddim.eta,
            text_guidance=ddim.text_guidance,
            image_guidance=image_guidance,
            guidance_rescale=ddim.guidance_rescale,
            spacing=ddim.spacing,
        )
        return sample(self.animator.diffusion, denoise, self.x_t, settings)

    def _timesteps(self) -> Tensor:
        total = self.animator.diffusion.config.timesteps
        return torch.tensor(timesteps(self.case.ddim.steps, total, self.case.ddim.spacing).tolist())

    def _published_scale(self) -> Tensor:
        """The published buffer continues past the last diffusion step, with the final scale."""
        ours = self.animator.diffusion.signal_scale
        return torch.cat([ours, ours[-1:].expand(_DYNAMIC_RESCALE_STEPS)])

    @cached_property
    @torch.no_grad()
    def _posterior(self) -> tuple[Tensor, Tensor]:
        height, width = (8 * side for side in self.case.latent_hw)
        pixels = torch.tanh(self._draw("pixels", 1, 3, height, width))
        posterior = self._vae_codec.vae.encode(pixels).latent_dist
        return posterior.mean, posterior.logvar

    @torch.no_grad()
    def _decode(self) -> Tensor:
        return self._vae_codec.vae.decode(self.z[:1, :, 0]).sample

    @property
    def _vae_codec(self) -> VaeCodec:
        assert isinstance(self.animator.codec, VaeCodec)
        return self.animator.codec
