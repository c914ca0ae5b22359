"""A model of transformers that writes captions: loaded from a local folder, and run in batches that fit."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from core.errors import AnimaticError
from models.encoders.quiet_loading import quiet_loading
from pipelines.caption.clips import Clip
from pipelines.caption.config import CaptionConfig
from pipelines.caption.model_folder import require_model_folder
from pipelines.caption.reading import Reading, reading_of
from pipelines.caption.text import clean_caption

log = logging.getLogger(__name__)

_MOST_AT_ONCE = 64  # clips; more is hardly faster
_SHARE_OF_MEMORY = 0.8  # of what is free, for the clips of a batch
# Parts of encoders that captioning does not use, which many published files lack.
_UNUSED = ("pooler",)


def open_reading(path: Path, config: CaptionConfig) -> tuple[Any, Reading]:
    """The configuration of the model in a folder, and how it reads clips; no weights are loaded.

    Raises AnimaticError if this is no folder of an image- or video-text model of transformers.
    """
    import transformers
    from transformers.models.auto import modeling_auto

    require_model_folder(path)
    try:
        with quiet_loading():
            found = transformers.AutoConfig.from_pretrained(path, local_files_only=True)
            if found.model_type not in modeling_auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES:
                raise AnimaticError(
                    f"{path} holds a model of type {found.model_type}, which does not turn images into "
                    f"text in transformers {transformers.__version__}: use an image- or video-text model"
                )
            return found, reading_of(path, found, config.frames, config.prompt)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise _unreadable(path, error) from error


class Captioner:
    """Writes a caption of each clip, by greedy decoding or beam search: the same text each time."""

    def __init__(self, config: CaptionConfig) -> None:
        """Raises AnimaticError if the model cannot be loaded, or lacks weights."""
        path = Path(config.model)
        self._config, self._device = config, config.device
        _, self.reading = open_reading(path, config)
        self._dtype = _dtype(config)
        self._model: Any = _load(path, self._dtype).to(self._device)
        self._batch = config.batch or (None if self._device == "cuda" else 1)

    @property
    def batch(self) -> int:
        """Clips at a time; 1 until the memory of one is known."""
        return self._batch or 1

    def captions(self, clips: Sequence[Clip]) -> list[str | None]:
        """A caption of each clip, None where the model writes nothing.

        Raises AnimaticError if the device's memory does not suffice for one clip.
        """
        written: list[str] = []
        while len(written) < len(clips):
            part = clips[len(written) : len(written) + self.batch]
            texts = self._fitting(part)
            if texts is None:
                self._batch = max(1, len(part) // 2)
                log.warning("memory does not suffice for %d clips: %d at a time", len(part), self._batch)
                torch.cuda.empty_cache()
            else:
                written += texts
        prompt, longest = self.reading.prompt, self._config.max_characters
        return [clean_caption(text, prompt, longest) for text in written]

    def _fitting(self, clips: Sequence[Clip]) -> list[str] | None:
        """The texts of a batch; None if it does not fit, after which its memory is free."""
        try:
            return self._measured(clips) if self._batch is None else self._write(clips)
        except torch.OutOfMemoryError as error:
            if len(clips) == 1:
                raise AnimaticError(
                    f"the memory of the GPU does not suffice for one clip ({error}): lower --frames, "
                    "pass --dtype bfloat16, or use a smaller model"
                ) from error
            return None
        except (RuntimeError, ValueError, TypeError, LookupError) as error:
            raise AnimaticError(
                f"the model in {self._config.model} cannot caption clips ({type(error).__name__}: "
                f"{_shortened(error)}): pass the --prompt that its card asks for, or other --frames, "
                "or use another model"
            ) from error

    def _measured(self, clips: Sequence[Clip]) -> list[str]:
        """The texts of one clip; how many fit at once follows from the memory that it takes."""
        free, _ = torch.cuda.mem_get_info()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        texts = self._write(clips)
        taken = max(1, torch.cuda.max_memory_allocated() - before)
        self._batch = min(_MOST_AT_ONCE, max(1, int(_SHARE_OF_MEMORY * free / taken)))
        return texts

    @torch.inference_mode()
    def _write(self, clips: Sequence[Clip]) -> list[str]:
        with quiet_loading():
            inputs = self.reading.inputs(clips).to(self._device, dtype=self._dtype)
            tokens = self._model.generate(
                **inputs,
                max_new_tokens=self._config.max_new_tokens,
                num_beams=self._config.beams,
                do_sample=False,
            )
        return self.reading.texts(_new_tokens(tokens.cpu(), inputs.get("input_ids")))


def _new_tokens(tokens: Tensor, prompt: Tensor | None) -> Tensor:
    """Generated tokens without those of the prompt, which decoders return before them."""
    if prompt is None:
        return tokens
    length = prompt.shape[1]
    repeated = tokens.shape[1] >= length and torch.equal(tokens[:, :length], prompt.cpu())
    return tokens[:, length:] if repeated else tokens


def _dtype(config: CaptionConfig) -> torch.dtype:
    if config.dtype is not None:
        chosen: torch.dtype = getattr(torch, config.dtype)
        return chosen
    if config.device == "cpu":
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16


def _load(path: Path, dtype: torch.dtype) -> Any:
    from safetensors import SafetensorError
    from transformers import AutoModelForImageTextToText

    try:
        with quiet_loading():
            model, found = AutoModelForImageTextToText.from_pretrained(
                path, local_files_only=True, use_safetensors=True, output_loading_info=True, dtype=dtype
            )
    except (OSError, RuntimeError, ValueError, KeyError, ImportError, SafetensorError) as error:
        raise _unreadable(path, error) from error
    absent = sorted(map(str, [*found["missing_keys"], *found["mismatched_keys"]]))
    needed = [name for name in absent if not any(part in name for part in _UNUSED)]
    if needed:
        raise AnimaticError(
            f"{path} lacks {len(needed)} tensors of its model ({needed[0]}, …): download all of its files"
        )
    return model.requires_grad_(False).eval()


def _unreadable(path: Path, error: Exception) -> AnimaticError:
    return AnimaticError(
        f"the model in {path} cannot be loaded by transformers ({type(error).__name__}: "
        f"{_shortened(error)}): models "
        "with code of their own are not run; check that all of its files are there"
    )


def _shortened(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
