"""The size of a stage's network and of what is loaded besides, from the modules on the meta device."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn

from models.animator import Animator
from models.frozen_parts import weights_of
from training.adapter import trained_animator
from training.config import RunConfig
from training.moments_8bit import moment_bytes
from training.objectives import DISTILLATIONS, teacher_on_meta
from training.stages import Kind
from training.trainable import kind_of, trainable_names

_FP32 = 4


@dataclass(frozen=True)
class Sizes:
    """Numbers of weights.

    Attributes:
        trained, frozen: of the network, by kind of parameter.
        encoders: of CLIP's towers that the network needs.
        codec: of the autoencoder; 0 for one without weights.
        on_host: of encoders and codec, those that stay in host memory: with stored latents, and text features
            beside them, steps need neither codec nor text tower.
        largest: of the largest trained tensor.
        teacher: of the frozen network that a stage distils, whole in every process; with an adapter, of what
            is trained whole, as it began; 0 without a teacher.
        teacher_bytes: of each of its weights.
        moments_8bit: bytes of the moments of all trained parameters with ``optimizer.kind=adamw_8bit``.
    """

    trained: Mapping[Kind, int]
    frozen: Mapping[Kind, int]
    encoders: int
    codec: int
    on_host: int
    largest: int
    teacher: int = 0
    teacher_bytes: int = _FP32
    moments_8bit: int = 0

    @property
    def trained_total(self) -> int:
        """Of all trained parameters."""
        return sum(self.trained.values())

    @property
    def network_total(self) -> int:
        """Of the whole network."""
        return self.trained_total + sum(self.frozen.values())

    @property
    def frozen_models_bytes(self) -> int:
        """Of what steps need besides the network, on every device: encoders and codec in float32, a teacher
        in the type of the trained weights."""
        return _FP32 * (self.encoders + self.codec - self.on_host) + self.teacher_bytes * self.teacher


def sizes_of(config: RunConfig, animator: Animator | None = None) -> Sizes:
    """The sizes of a run. Raises AnimaticError where a glob of ``train.trainable`` matches nothing."""
    animator = animator or trained_animator(config)
    parameters, stored = dict(animator.network.named_parameters()), config.data.latents is not None
    chosen = set(trainable_names(config, list(parameters)))
    trained: Counter[Kind] = Counter()
    frozen: Counter[Kind] = Counter()
    for name, parameter in parameters.items():
        (trained if name in chosen else frozen)[kind_of(name)] += parameter.numel()
    taught = config.objective.kind in DISTILLATIONS
    teacher = teacher_on_meta(config, animator.network).tensors if taught else []
    return Sizes(
        trained=dict(trained),
        frozen=dict(frozen),
        encoders=_weights(animator.encoders),
        codec=_weights(animator.codec),
        on_host=weights_of(animator, "codec") + weights_of(animator, "text tower") if stored else 0,
        largest=max((parameters[name].numel() for name in chosen), default=0),
        teacher=sum(tensor.numel() for tensor in teacher),
        teacher_bytes=teacher[0].itemsize if teacher else _FP32,
        moments_8bit=sum(moment_bytes(parameters[name].numel()) for name in chosen),
    )


def _weights(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
