"""Published image-to-video systems that diffusers runs, with weights in a local folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import JsonValue

from core.errors import AnimaticError
from core.files import content_digests

BaselineName = Literal["i2vgen-xl", "stable-video-diffusion"]

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
