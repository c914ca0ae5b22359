"""A baseline's pipeline of diffusers, loaded and run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from core.errors import AnimaticError
from models.encoders.quiet_loading import quiet_loading
from pipelines.evaluate.clips import Pixels, RealClip
from pipelines.evaluate.systems.baselines import BaselineSettings
from pipelines.evaluate.systems.system import noise_seed
from pipelines.video.frames import fit_image

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

_SIDE_STEP = 64  # pixels: the networks halve the latents, an eighth of this, three times


class BaselinePipeline:
    """Animates pictures one by one; the noise depends on the seed of the clip alone."""

    animator = None

    def __init__(self, settings: BaselineSettings, frames: int, device: str) -> None:
        """``device``: cpu (float32) or cuda (float16). Raises AnimaticError as ``check``, and where loading
        fails."""
        settings.check()
        self._settings, self._frames, self._device = settings, frames, device
        self._pipeline = _load(settings, device)

    def generate(self, clips: Sequence[RealClip], seed: int) -> Pixels:
        """A clip for each first frame and caption, one by one: uint8 [n t h w 3].

        Raises AnimaticError if a result is not finite.
        """
        return np.stack(
            [self._animate(clip.pixels[0], clip.caption, noise_seed(seed, clip.key)) for clip in clips]
        )

    def _animate(self, picture: Pixels, prompt: str, seed: int) -> Pixels:
        """Frames [t h w 3] from a picture [h w 3], at the picture's size."""
        pixels = self._settings.pixels or self._settings.baseline.pixels
        height, width = generated_size(picture.shape[:2], pixels)
        image = Image.fromarray(picture).resize((width, height), Image.Resampling.BICUBIC)
        # I2VGen-XL draws the latents of the picture without its generator.
        devices = [] if self._device == "cpu" else [torch.cuda.current_device()]
        with torch.random.fork_rng(devices=devices), torch.inference_mode():
            torch.manual_seed(seed)
            result = self._pipeline(
                image=image,
                height=height,
                width=width,
                num_frames=max(self._frames, self._native_frames()),
                generator=torch.Generator("cpu").manual_seed(seed),
                output_type="np",
                **self._arguments(prompt),
            )
        return self._at_size(
            np.asarray(result.frames)[0][: self._frames], (picture.shape[0], picture.shape[1])
        )

    def _arguments(self, prompt: str) -> dict[str, object]:
        """The recommended parameters, and the texts where the system takes any."""
        arguments: dict[str, object] = {**self._settings.call_parameters()}
        if self._settings.baseline.takes_prompt:
            negative = str(arguments.pop("negative_prompt"))
            arguments["prompt_embeds"] = _text_embeddings(self._pipeline, prompt)
            arguments["negative_prompt_embeds"] = _text_embeddings(self._pipeline, negative)
        return arguments

    def _at_size(self, clip: npt.NDArray[np.floating], size: tuple[int, int]) -> Pixels:
        if not np.isfinite(clip).all():
            raise AnimaticError(
                f"--baseline {self._settings.name} generated pixels that are not finite: check its weights"
            )
        pixels = np.rint(np.clip(clip, 0, 1) * 255).astype(np.uint8)
        return np.stack([fit_image(Image.fromarray(frame), size) for frame in pixels])

    def _native_frames(self) -> int:
        native = self._settings.baseline.frames
        return int(self._pipeline.unet.config.num_frames) if native is None else native


def generated_size(picture: tuple[int, ...], pixels: int) -> tuple[int, int]:
    """(height, width) with about ``pixels`` in the aspect of a picture (h, w), multiples of 64."""
    aspect = picture[1] / picture[0]
    height, width = math.sqrt(pixels / aspect), math.sqrt(pixels * aspect)
    sides = [max(_SIDE_STEP, round(side / _SIDE_STEP) * _SIDE_STEP) for side in (height, width)]
    return sides[0], sides[1]


def _text_embeddings(pipeline: DiffusionPipeline, text: str) -> torch.Tensor:
    """CLIP's states before its last layer, normalised, (1 tokens width): what I2VGen-XL was trained with.

    The pipeline of diffusers computes the same, but not with the text encoder of transformers 5.
    """
    tokens = pipeline.tokenizer(
        text,
        padding="max_length",
        max_length=pipeline.tokenizer.model_max_length,
        truncation=True,
        return_tensors="pt",
    )
    encoder = pipeline.text_encoder
    states = encoder(tokens.input_ids.to(encoder.device), output_hidden_states=True).hidden_states
    normalise = getattr(encoder, "text_model", encoder).final_layer_norm
    return normalise(states[-2])


def _load(settings: BaselineSettings, device: str) -> DiffusionPipeline:
    import diffusers

    kind = getattr(diffusers, settings.baseline.pipeline)
    try:
        with quiet_loading():
            pipeline = kind.from_pretrained(
                str(settings.weights),
                variant=settings.variant(),
                local_files_only=True,
                use_safetensors=True,
            ).to(device, torch.float32 if device == "cpu" else torch.float16)
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        first = str(error).strip().splitlines() or [type(error).__name__]
        raise AnimaticError(f"{settings.weights} cannot be loaded as {settings.name}: {first[0]}") from error
    pipeline.set_progress_bar_config(disable=True)
    return pipeline
