"""Published image-to-video systems that diffusers runs, with weights in a local folder."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from pydantic import JsonValue

from core.errors import AnimaticError
from core.files import content_digests
from pipelines.video.frames import fit_image

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

Clip = npt.NDArray[np.uint8]
BaselineName = Literal["i2vgen-xl", "stable-video-diffusion"]

_SIDE_STEP = 64  # pixels: the networks halve the latents, an eighth of this, three times
_LIBRARIES = (None, "diffusers", "transformers")  # None: an optional part that is not used


@dataclass(frozen=True)
class Baseline:
    """A system and the parameters that its authors recommend, which a report records.

    Attributes:
        pipeline: class of diffusers.
        pixels: of a frame; a picture is animated in its own aspect ratio at about this size.
        frames: that are generated at least; None: as many as the network was trained with.
        takes_prompt: whether the prompt is used.
        parameters: of the call, by diffusers' names.
    """

    pipeline: str
    pixels: int
    frames: int | None
    takes_prompt: bool
    parameters: Mapping[str, JsonValue] = field(default_factory=dict)


BASELINES: Mapping[BaselineName, Baseline] = {
    # The pipeline's defaults and the negative prompt of its documentation.
    "i2vgen-xl": Baseline(
        "I2VGenXLPipeline",
        pixels=704 * 1280,
        frames=16,
        takes_prompt=True,
        parameters={
            "num_inference_steps": 50,
            "guidance_scale": 9.0,
            "target_fps": 16,
            "negative_prompt": "Distorted, discontinuous, Ugly, blurry, low resolution, motionless, static, "
            "disfigured, disconnected limbs, Ugly faces, incomplete arms",
        },
    ),
    # The pipeline's defaults; frames are decoded in groups, which changes memory and hardly the result.
    "stable-video-diffusion": Baseline(
        "StableVideoDiffusionPipeline",
        pixels=576 * 1024,
        frames=None,
        takes_prompt=False,
        parameters={
            "num_inference_steps": 25,
            "min_guidance_scale": 1.0,
            "max_guidance_scale": 3.0,
            "fps": 7,
            "motion_bucket_id": 127,
            "noise_aug_strength": 0.02,
            "decode_chunk_size": 8,
        },
    ),
}


@dataclass(frozen=True)
class BaselineSettings:
    """Which system, from where, and what differs from the recommendation; None: nothing."""

    name: BaselineName
    weights: Path
    steps: int | None = None
    pixels: int | None = None

    @property
    def baseline(self) -> Baseline:
        return BASELINES[self.name]

    def call_parameters(self) -> dict[str, JsonValue]:
        """Arguments of the call, by diffusers' names."""
        changed = {} if self.steps is None else {"num_inference_steps": self.steps}
        return {**self.baseline.parameters, **changed}

    def sampling(self) -> dict[str, JsonValue]:
        """What a report records: the arguments, the pixels of a frame, and the least number of frames."""
        pixels = self.pixels or self.baseline.pixels
        return {**self.call_parameters(), "pixels": pixels, "frames": self.baseline.frames}

    def check(self) -> None:
        """Raise AnimaticError unless the folder has this system's pipeline, of known parts in safetensors."""
        index = self.weights / "model_index.json"
        try:
            content = json.loads(index.read_bytes())
        except FileNotFoundError as error:
            raise AnimaticError(
                f"{self.weights} has no model_index.json: pass the folder of a {self.baseline.pipeline} as "
                "diffusers stores it"
            ) from error
        except (OSError, ValueError) as error:
            raise AnimaticError(f"{index} cannot be read: {error}") from error
        found = content.get("_class_name") if isinstance(content, dict) else None
        if found != self.baseline.pipeline:
            raise AnimaticError(
                f"{self.weights} is a {found}; --baseline {self.name} needs a {self.baseline.pipeline}"
            )
        # diffusers imports whatever library a part names.
        for name, part in content.items():
            if isinstance(part, list) and not (part and part[0] in _LIBRARIES):
                raise AnimaticError(f"{index}: {name} is not a part of diffusers or transformers")
        self._require_safetensors()

    def digest(self, on_progress: Callable[[int, int], None] = lambda done, total: None) -> str:
        """Identifies the weights by content; ``on_progress`` gets (megabytes read, megabytes)."""
        return content_digests({"weights": self.weights}, on_progress)["weights"]

    def variant(self) -> str | None:
        """``fp16`` if the network is stored in half precision alone."""
        names = [path.name for path in (self.weights / "unet").glob("*.safetensors")]
        return "fp16" if all(".fp16" in name for name in names) else None

    def _require_safetensors(self) -> None:
        if not any((self.weights / "unet").glob("*.safetensors")):
            raise AnimaticError(
                f"{self.weights}/unet has no safetensors: pickled weights are not loaded, as they run code; "
                "download the safetensors"
            )


class BaselineGenerator:
    """Animates pictures one by one; the noise depends on the seed of the clip alone."""

    def __init__(self, settings: BaselineSettings, device: str) -> None:
        """``device``: cpu (float32) or cuda (float16). Raises AnimaticError as ``check``, and where loading
        fails."""
        settings.check()
        self._settings, self._device = settings, device
        self._pipeline = _load(settings, device)

    def animate(self, picture: Clip, prompt: str, frames: int, seed: int) -> Clip:
        """Frames uint8 [t h w 3] from a picture [h w 3], at the picture's size; see :class:`Baseline`.

        Raises AnimaticError if the result is not finite.
        """
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
                num_frames=max(frames, self._native_frames()),
                generator=torch.Generator("cpu").manual_seed(seed),
                output_type="np",
                **self._arguments(prompt),
            )
        return self._at_size(np.asarray(result.frames)[0][:frames], (picture.shape[0], picture.shape[1]))

    def _arguments(self, prompt: str) -> dict[str, object]:
        """The recommended parameters, and the texts where the system takes any."""
        arguments: dict[str, object] = {**self._settings.call_parameters()}
        if self._settings.baseline.takes_prompt:
            negative = str(arguments.pop("negative_prompt"))
            arguments["prompt_embeds"] = _text_embeddings(self._pipeline, prompt)
            arguments["negative_prompt_embeds"] = _text_embeddings(self._pipeline, negative)
        return arguments

    def _at_size(self, clip: npt.NDArray[np.floating], size: tuple[int, int]) -> Clip:
        if not np.isfinite(clip).all():
            raise AnimaticError(
                f"--baseline {self._settings.name} generated pixels that are not finite: check its weights"
            )
        pixels = np.rint(np.clip(clip, 0, 1) * 255).astype(np.uint8)
        return np.stack([fit_image(Image.fromarray(frame), size) for frame in pixels])

    def _native_frames(self) -> int:
        native = self._settings.baseline.frames
        return int(self._pipeline.unet.config.num_frames) if native is None else native


def clip_seed(seed: int, key: str) -> int:
    """Seed of a clip's noise, of 40 bits: whatever the chunk, the workers and the other clips."""
    return int.from_bytes(hashlib.sha256(f"baseline\0{seed}\0{key}".encode()).digest()[:5], "little")


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
        with _quiet():
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


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the libraries' bars, and their advice on how to load."""
    from diffusers.utils import logging as of_diffusers
    from transformers.utils import logging as of_transformers

    libraries = (of_diffusers, of_transformers)
    levels = [library.get_verbosity() for library in libraries]
    for library in libraries:
        library.set_verbosity_error()
        library.disable_progress_bar()
    try:
        yield
    finally:
        for library, level in zip(libraries, levels, strict=True):
            library.set_verbosity(level)
            library.enable_progress_bar()
