"""The frozen network that a stage distils: guided predictions, with scales of each sample's own."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import yaml
from einops import repeat
from torch import Tensor

from core.errors import AnimaticError
from models.architecture import DiffusionConfig
from models.bundle import Bundle
from models.diffusion.guidance import Condition, rescale
from models.network.network import Network, network_on_meta
from models.network.parameter_names import internal_state
from models.student import StudentConfig
from training.config import RunConfig
from training.initialisation import open_source_bundles

_HALF_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


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
    """A frozen network in evaluation mode, outside of what ZeRO shards: whole in every process.

    Attributes:
        network: of the parent bundle; on the device of the first batch from then on.
    """

    def __init__(self, network: Network, guided: StudentConfig, distilled: StudentConfig | None) -> None:
        """Args:
        guided: the guidance that a student learns; with one scale for text and image, its passes are two.
        distilled: of a teacher that is a student itself, which makes guided predictions in one pass.
        """
        self.network = network.eval().requires_grad_(False)
        self._guided, self._distilled = guided, distilled

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
        self.network.to(inputs.device)
        if self._distilled is not None:
            return self._passes(inputs, timesteps, conditions, ["both"], temporal, scales)["both"]
        needed: list[Condition] = ["none", "both"]
        if self._guided.image_guidance is not None:
            needed.insert(1, "image")
        found = self._passes(inputs, timesteps, conditions, needed, temporal)
        text, image = (scale.view(-1, 1, 1, 1, 1) for scale in scales.unbind(dim=1))
        guided = (1 - image) * found["none"] + text * found["both"]
        if "image" in found:
            guided = guided + (image - text) * found["image"]
        factor = self._guided.guidance_rescale
        return rescale(guided, found["both"], factor) if factor else guided

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
            given = self.network.context(conditions.features, frames)
            if "none" in needed:
                grey = repeat(self.network.context(conditions.no_features, frames), "1 ... -> b ...", b=batch)
            image = torch.cat([grey if condition == "none" else given for condition in needed])
        prediction = self.network.unet(
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


def load_teacher(config: RunConfig) -> Teacher:
    """The teacher of a run that distils: the network of ``init.parent``, in the type that weights have.

    Raises AnimaticError as :func:`training.initialisation.open_source_bundles`, and where the student is to
    predict something else than the teacher, or with guidance that a distilled teacher was not trained for.
    """
    # Its digests were verified when the student was initialised.
    parent = open_source_bundles(config, verify=False).parent
    assert parent is not None  # stages that distil have one
    guided = _checked(config, parent)
    network = network_on_meta(parent.info.architecture)
    state = internal_state(parent.info.architecture, parent.state())
    # Copied: the bundle's file may change while the run trains.
    weights = {name: value.to(_dtype(config), copy=True) for name, value in state.items()}
    network.load_state_dict(weights, assign=True)
    return Teacher(network, guided, parent.info.architecture.student)


def teacher_on_meta(config: RunConfig) -> Teacher:
    """A teacher without weights, as of a parent of stage 3: for plans."""
    unet = config.model.unet.model_copy(update={"guidance_embedding": False})
    network = network_on_meta(config.model.model_copy(update={"unet": unet, "student": None}))
    assert config.model.student is not None  # stages that distil have one
    return Teacher(network.to(_dtype(config)), config.model.student, None)


def _dtype(config: RunConfig) -> torch.dtype:
    """That of the trained network's weights: a teacher needs no more memory."""
    return _HALF_DTYPES.get(config.train.precision, torch.float32)


def _checked(config: RunConfig, parent: Bundle) -> StudentConfig:
    """What the student learns, if the parent can teach it."""
    ours, theirs, student = config.model, parent.info.architecture, config.model.student
    assert student is not None  # as the stage's network has guidance embedding
    if ours.diffusion != theirs.diffusion:
        raise AnimaticError(
            f"init.parent {parent.folder} was trained with another model.diffusion than this run's: a "
            f"student predicts what its teacher does; --set 'model.diffusion={_in_yaml(theirs.diffusion)}'"
        )
    if theirs.student is not None and not theirs.student.covers(student):
        raise AnimaticError(
            f"init.parent {parent.folder} was distilled with {_in_yaml(theirs.student)}, which does not "
            "include this run's model.student: choose scales within, and its guidance_rescale"
        )
    return student


def _in_yaml(section: StudentConfig | DiffusionConfig) -> str:
    """A section on one line, as ``--set`` takes it."""
    return yaml.safe_dump(section.model_dump(mode="json"), default_flow_style=True, width=1000).strip()
