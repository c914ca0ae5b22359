"""How frames and prompt are passed to a model of transformers, by what its processor takes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from core.errors import AnimaticError
from pipelines.caption.clips import Clip

VIDEO_FRAMES = 8
_OF_VIDEO = "Describe this video in one sentence."
_OF_FRAMES = "These are frames of one video, in order. Describe the video in one sentence."
_OF_IMAGE = "Describe this image in one sentence."


class Reading(Protocol):
    """How one model reads clips.

    Attributes:
        frames: of each clip.
        prompt: the instruction to the model; empty for none.
    """

    frames: int
    prompt: str

    def inputs(self, clips: Sequence[Clip]) -> Any:
        """What the model's ``generate`` takes for a batch of clips, on the CPU."""
        ...

    def texts(self, tokens: Tensor) -> list[str]:
        """The texts of generated tokens, (batch, length)."""
        ...


@dataclass
class _Processed:
    """A processor of transformers with its tokenizer."""

    processor: Any
    frames: int
    prompt: str

    def texts(self, tokens: Tensor) -> list[str]:
        """See :class:`Reading`."""
        decoded: list[str] = self.processor.batch_decode(tokens, skip_special_tokens=True)
        return decoded

    def _chat(self, content: list[dict[str, str]]) -> str:
        message = {"role": "user", "content": [*content, {"type": "text", "text": self.prompt}]}
        text: str = self.processor.apply_chat_template([message], add_generation_prompt=True, tokenize=False)
        return text


class _ChatAboutVideo(_Processed):
    """A model with a chat template that takes videos: Qwen2-VL, LLaVA-OneVision, SmolVLM2, …."""

    def inputs(self, clips: Sequence[Clip]) -> Any:
        """See :class:`Reading`."""
        from transformers.video_utils import VideoMetadata

        metadata = [
            VideoMetadata(
                total_num_frames=clip.length,
                fps=clip.fps,
                frames_indices=clip.indices,
                width=clip.frames.shape[2],
                height=clip.frames.shape[1],
                duration=clip.length / clip.fps,
            )
            for clip in clips
        ]
        return self.processor(
            text=[self._chat([{"type": "video"}])] * len(clips),
            videos=[torch.from_numpy(clip.frames.copy()).permute(0, 3, 1, 2) for clip in clips],
            return_tensors="pt",
            # The frames are drawn already; the processor must not draw again.
            videos_kwargs={"do_sample_frames": False, "video_metadata": metadata},
            text_kwargs={"padding": True},
        )


class _ChatAboutImages(_Processed):
    """A model with a chat template that takes images: LLaVA, Idefics, Gemma, …."""

    def inputs(self, clips: Sequence[Clip]) -> Any:
        """See :class:`Reading`."""
        return self.processor(
            text=[self._chat([{"type": "image"}] * self.frames)] * len(clips),
            images=[clip.pictures() for clip in clips],
            return_tensors="pt",
            text_kwargs={"padding": True},
        )


class _Picture(_Processed):
    """A model without a chat template, which continues a prompt or nothing: BLIP, BLIP-2, GIT, …."""

    def inputs(self, clips: Sequence[Clip]) -> Any:
        """See :class:`Reading`."""
        images = [clip.pictures()[0] for clip in clips]
        if not self.prompt:
            return self.processor(images=images, return_tensors="pt")
        texts = [self.prompt] * len(clips)
        return self.processor(images=images, text=texts, return_tensors="pt", text_kwargs={"padding": True})


class _GitFrames(_Processed):
    """GIT trained on videos (Wang et al. 2022, arXiv:2205.14100): a fixed number of frames, no prompt."""

    def inputs(self, clips: Sequence[Clip]) -> Any:
        """See :class:`Reading`. Pixels are (b t c h w)."""
        from transformers import BatchFeature

        pictures = [picture for clip in clips for picture in clip.pictures()]
        pixels = self.processor(images=pictures, return_tensors="pt")["pixel_values"]
        return BatchFeature({"pixel_values": pixels.unflatten(0, (len(clips), self.frames))})


@dataclass
class _EncoderDecoder:
    """An image encoder beside a text decoder, as ViT-GPT2: two processors, no prompt."""

    images: Any
    tokenizer: Any
    frames: int = 1
    prompt: str = ""

    def inputs(self, clips: Sequence[Clip]) -> Any:
        """See :class:`Reading`."""
        return self.images([clip.pictures()[0] for clip in clips], return_tensors="pt")

    def texts(self, tokens: Tensor) -> list[str]:
        """See :class:`Reading`."""
        decoded: list[str] = self.tokenizer.batch_decode(tokens, skip_special_tokens=True)
        return decoded


def reading_of(path: Path, config: Any, frames: int | None, prompt: str | None) -> Reading:
    """How the model of a folder reads clips; ``config`` is its configuration.

    Raises AnimaticError if it cannot take as many frames, or a prompt; OSError, ValueError and ImportError if
    its processor cannot be loaded.
    """
    from transformers import AutoImageProcessor, AutoProcessor, AutoTokenizer

    if config.model_type == "vision-encoder-decoder":
        _require(path, frames, 1, prompt, takes_prompt=False)
        images = AutoImageProcessor.from_pretrained(path, local_files_only=True)
        return _EncoderDecoder(images, AutoTokenizer.from_pretrained(path, local_files_only=True))
    processor = AutoProcessor.from_pretrained(path, local_files_only=True)
    tokenizer = getattr(processor, "tokenizer", None)
    if tokenizer is None or getattr(processor, "image_processor", None) is None:
        raise AnimaticError(f"{path} has no processor of images and text: use an image- or video-text model")
    if not config.is_encoder_decoder:
        tokenizer.padding_side = "left"  # what is generated follows the last token
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return _reading(path, config, processor, frames, prompt)


def _reading(path: Path, config: Any, processor: Any, frames: int | None, prompt: str | None) -> Reading:
    template = getattr(processor, "chat_template", None)
    if template is None:
        video_frames = getattr(config, "num_image_with_embedding", None)  # of a GIT model
        if video_frames:
            _require(path, frames, int(video_frames), prompt, takes_prompt=False)
            return _GitFrames(processor, int(video_frames), "")
        _require(path, frames, 1, prompt, takes_prompt=True)
        return _Picture(processor, 1, prompt or "")
    if getattr(processor, "video_processor", None) is not None and "video" in str(template):
        return _ChatAboutVideo(processor, frames or VIDEO_FRAMES, prompt or _OF_VIDEO)
    count = frames or 1
    return _ChatAboutImages(processor, count, prompt or (_OF_IMAGE if count == 1 else _OF_FRAMES))


def _require(path: Path, frames: int | None, taken: int, prompt: str | None, *, takes_prompt: bool) -> None:
    if frames not in (None, taken):
        raise AnimaticError(f"{path} takes {taken} frames of a clip, not {frames}: leave out --frames")
    if prompt and not takes_prompt:
        raise AnimaticError(f"{path} takes no prompt: leave out --prompt")
