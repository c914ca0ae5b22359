"""The CLIP model that metrics share, loaded when first needed."""

import functools

import numpy as np
import torch

from core.errors import AnimaticError
from models.architecture import EncoderConfig
from models.encoders.clip import ClipEncoders, preprocess
from models.encoders.digests import tensors_digest
from models.pixels import to_signed
from pipelines.video.frames import Frames


class ClipModel:
    """One model on one device."""

    def __init__(self, config: EncoderConfig | None, device: str, batch: int) -> None:
        self._config, self._device, self._batch = config, device, batch

    @functools.cached_property
    def encoders(self) -> ClipEncoders:
        """Both towers. Raises AnimaticError if they cannot be read."""
        if self._config is None:
            raise AnimaticError("no CLIP model is given")
        return ClipEncoders(self._config).to(self._device)

    @functools.cached_property
    def source(self) -> dict[str, str]:
        """What columns record of the model."""
        assert self._config is not None  # encoders are loaded by it
        return {"model": self._config.model, "weights": tensors_digest(self.encoders.clip.state_dict())}

    @property
    def side(self) -> int:
        """Of the square images that it takes, in pixels."""
        return self.encoders.image_size

    @property
    def width(self) -> int:
        """Of the embeddings."""
        return int(self.encoders.clip.text_projection.shape[-1])

    @torch.no_grad()
    def image_features(self, images: list[Frames]) -> torch.Tensor:
        """Images [side, side, 3] → embeddings of length 1, (images width)."""
        parts = [images[start : start + self._batch] for start in range(0, len(images), self._batch)]
        return torch.cat([self._embeddings(part) for part in parts])

    def _embeddings(self, images: list[Frames]) -> torch.Tensor:
        stacked = torch.from_numpy(np.stack(images)).to(self._device)
        pixels = preprocess(to_signed(stacked.permute(0, 3, 1, 2)), self.side)
        return torch.nn.functional.normalize(self.encoders.clip.encode_image(pixels), dim=-1)

    @torch.no_grad()
    def text_features(self, captions: list[str]) -> torch.Tensor:
        """Captions → embeddings of length 1, (captions width)."""
        clip = self.encoders.clip
        ids = self.encoders.tokenizer(captions, clip.context_length).to(self._device)
        return torch.nn.functional.normalize(clip.encode_text(ids), dim=-1)
