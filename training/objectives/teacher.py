"""The frozen network that a stage distils: guided predictions, with scales of each sample's own."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from einops import repeat
from torch import Tensor
from torch.func import functional_call

from models.diffusion.guidance import Condition, rescale
from models.network.network import Network
from models.student import StudentConfig


@dataclass(frozen=True)
class Conditions:
    """What a batch of clips is denoised under, as the teacher's passes need it.

    Attributes:
        text, no_text: (b n c) tokens of the captions, and (1 n c) of the empty one.
        features, no_features: (b m d) and (1 m d), the image encoder's tokens of the stills and of a grey
            image; None for a network without image attention.
        fps: (b) frame rates, or strides.
        motion: (b) subject motion, NaN where unspecified; None for a network without a condition for it.
    """

    text: Tensor
    no_text: Tensor
    features: Tensor | None
    no_features: Tensor | None
    fps: Tensor
    motion: Tensor | None = None


class Teacher:
    """A frozen network in evaluation mode, outside of what ZeRO shards: whole in every process."""

    def __init__(self, network: Network, guided: StudentConfig, distilled: StudentConfig | None) -> None:
        """Args:
        network: of the parent bundle; on the device of the first batch from then on.
        guided: the guidance that a student learns; with one scale for text and image, its passes are two.
        distilled: of a teacher that is a student itself, which makes guided predictions in one pass.
        """
        self.network, self._guided, self._distilled = network, guided, distilled
        self._freeze()

    @property
    def tensors(self) -> list[Tensor]:
        """What a process holds for the teacher, besides the student."""
        return [*self.network.parameters(), *self.network.buffers()]

    @torch.no_grad()
    def predict(
        self, inputs: Tensor, timesteps: Tensor, conditions: Conditions, scales: Tensor, *, temporal: bool
    ) -> Tensor:
        """The guided prediction (b c t h w) of noise or v, float32.

        e(0,0) + s_img·(e(img) - e(0,0)) + s_txt·(e(img,txt) - e(img)) and its rescale, as
        :func:`models.diffusion.guidance.guide` computes them.

        Args:
            inputs: (b c t h w) noisy latents, with the condition's for a network with detail guidance.
            scales: (b 2), by text and image.
        """
        needed: list[Condition] = ["none", "both"]
        if self._guided.image_guidance is not None:
            needed.insert(1, "image")
        with self._in_use(inputs.device):
            if self._distilled is not None:
                return self._passes(inputs, timesteps, conditions, ["both"], temporal, scales)["both"]
            found = self._passes(inputs, timesteps, conditions, needed, temporal)
        text, image = (scale.view(-1, 1, 1, 1, 1) for scale in scales.unbind(dim=1))
        guided = (1 - image) * found["none"] + text * found["both"]
        if "image" in found:
            guided = guided + (image - text) * found["image"]
        factor = self._guided.guidance_rescale
        return rescale(guided, found["both"], factor) if factor else guided

    def _freeze(self) -> None:
        self.network.eval().requires_grad_(False)

    @contextmanager
    def _in_use(self, device: torch.device) -> Iterator[None]:
        """In this block, :meth:`_compute` computes with the teacher's weights."""
        if next(self.network.parameters()).device != device:
            self.network.to(device)
        yield

    def _compute(self, part: Literal["unet", "context"], *args: object, **named: object) -> Tensor:
        """The result of a part of the network."""
        found: Tensor = self.network.get_submodule(part)(*args, **named)
        return found

    def _passes(
        self,
        inputs: Tensor,
        timesteps: Tensor,
        conditions: Conditions,
        needed: Sequence[Condition],
        temporal: bool,
        scales: Tensor | None = None,
    ) -> dict[Condition, Tensor]:
        """The network's predictions under each condition, computed as one batch."""
        batch, frames = len(inputs), inputs.shape[2]
        empty = conditions.no_text.expand(batch, -1, -1)
        texts = [conditions.text if condition == "both" else empty for condition in needed]
        image = None
        if self.network.context is not None:
            assert conditions.features is not None and conditions.no_features is not None
            given = self._compute("context", conditions.features, frames)
            if "none" in needed:
                grey = repeat(
                    self._compute("context", conditions.no_features, frames), "1 ... -> b ...", b=batch
                )
            image = torch.cat([grey if condition == "none" else given for condition in needed])
        prediction = self._compute(
            "unet",
            inputs,
            timesteps,
            torch.cat(texts),
            image,
            conditions.fps,
            temporal=temporal,
            conditions=len(needed),
            guidance=scales,
            motion=conditions.motion,
        )
        return dict(zip(needed, prediction.float().chunk(len(needed)), strict=True))


class BaseTeacher(Teacher):
    """The base of a student that trains an adapter: the student's own network without it, and no copy.

    What the student trains whole besides its matrices, the teacher has as it was at first: a new embedding
    is zero then. So its predictions are exactly those of the base's bundle.
    """

    def __init__(
        self,
        network: Network,
        guided: StudentConfig,
        distilled: StudentConfig | None,
        began: Mapping[str, Tensor],
    ) -> None:
        """``network``: the student's; ``began``: initial values of what is trained whole, by name."""
        self._began = dict(began)
        super().__init__(network, guided, distilled)

    @property
    def tensors(self) -> list[Tensor]:
        """See :class:`Teacher`."""
        return list(self._began.values())

    def _freeze(self) -> None:
        """Leave the network to the student, which trains it."""

    @contextmanager
    def _in_use(self, device: torch.device) -> Iterator[None]:
        self._began = {name: value.to(device) for name, value in self._began.items()}
        training = self.network.training
        with self.network.without_adapter():
            self.network.eval()
            try:
                yield
            finally:
                self.network.train(training)

    def _compute(self, part: Literal["unet", "context"], *args: object, **named: object) -> Tensor:
        prefix = f"{part}."
        began = {
            name.removeprefix(prefix): value for name, value in self._began.items() if name.startswith(prefix)
        }
        found: Tensor = functional_call(self.network.get_submodule(part), began, args, named)
        return found
