"""The arithmetic of a training step: what an ideal implementation of the network would have to compute.

Counted on tensors without values (torch.utils.flop_counter): two operations for each multiply-add of matrix
products, convolutions and attention; normalisations and activations are not counted. A clip's count is that
of the forward pass and of the backward pass that the trained parameters need: frozen layers have gradients of
their inputs alone, and those before the first trained layer none. What activation checkpointing or attention
kernels compute twice counts once (model FLOPs, as in PaLM, arXiv:2204.02311, appendix B). The frozen encoders
and codec are not part of it.
"""

from collections.abc import Collection
from typing import NamedTuple

import torch
from torch.utils.flop_counter import FlopCounterMode

from models.architecture import Architecture, EncoderConfig
from models.batch import Batch
from models.encoders.captions import TOKENS
from models.network.adapter import Adapter
from models.network.network import Network, network_on_meta


class ClipShape(NamedTuple):
    """What the arithmetic for a clip depends on.

    Attributes:
        height, width: of the latents.
        temporal: False where the temporal layers are left out.
    """

    frames: int
    height: int
    width: int
    temporal: bool = True

    @classmethod
    def of(cls, batch: Batch, patch: int, *, temporal: bool) -> "ClipShape":
        """That of each clip of a batch; ``patch``: pixels per latent cell along each side."""
        if batch.latents is not None:
            frames, height, width = (batch.latents.shape[axis] for axis in (1, -2, -1))
            return cls(frames, height, width, temporal)
        frames, height, width = (batch.pixels.shape[axis] for axis in (1, -2, -1))
        return cls(frames, height // patch, width // patch, temporal)


class StepFlops:
    """Counts the network's arithmetic for clips of any shape, each shape once."""

    def __init__(
        self, architecture: Architecture, trainable: Collection[str], adapter: Adapter | None = None
    ) -> None:
        """``trainable``: names of the network's trained parameters; ``adapter``: that of the network."""
        self._architecture, self._trainable = architecture, frozenset(trainable)
        self._adapter = adapter
        self._counted: dict[ClipShape, float] = {}

    def of(self, shape: ClipShape) -> float:
        """Floating-point operations of the forward and backward pass for one clip of a shape.

        A new shape takes seconds at the published sizes.
        """
        if shape not in self._counted:
            self._counted[shape] = network_flops(self._architecture, self._trainable, shape, self._adapter)
        return self._counted[shape]


def network_flops(
    architecture: Architecture,
    trainable: Collection[str],
    shape: ClipShape,
    adapter: Adapter | None = None,
) -> float:
    """As :meth:`StepFlops.of`; without trained parameters: of the forward pass alone."""
    network = network_on_meta(architecture, adapter).train()
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name in trainable)
    # The default device of a thread: also that of tensors which the network itself makes.
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        _pass(network, architecture, shape)
    return float(counter.get_total_flops())


def image_tokens(encoders: EncoderConfig) -> int:
    """Tokens that the image encoder makes of an image: one for each patch, and the class token."""
    if encoders.image is not None and encoders.kind == "random":
        side, patch = encoders.image.image_size, encoders.image.patch_size
    else:
        # Takes seconds to import.
        from open_clip import get_model_config

        vision = (get_model_config(encoders.model) or {})["vision_cfg"]
        side, patch = vision["image_size"], vision["patch_size"]
    return (side // patch) ** 2 + 1


def _pass(network: Network, architecture: Architecture, shape: ClipShape) -> None:
    unet = architecture.unet
    image = None
    if network.context is not None:
        tokens = torch.empty(1, image_tokens(architecture.encoders), network.context.config.image_dim)
        image = network.context(tokens, shape.frames)
    prediction = network.unet(
        torch.empty(1, unet.in_channels, shape.frames, shape.height, shape.width),
        torch.empty(1),
        torch.empty(1, TOKENS, unet.context_dim),
        image,
        torch.empty(1),
        temporal=shape.temporal,
    )
    if prediction.requires_grad:
        prediction.sum().backward()
