"""The assembled model: the trained network with its frozen encoders, codec and noise schedule."""

import copy

import torch
from torch import Tensor, nn

from models.architecture import Architecture
from models.diffusion.schedule import Diffusion
from models.encoders.build import build_codec
from models.encoders.clip import ClipEncoders
from models.network.adapter import Adapter
from models.network.network import Network


class Animator(nn.Module):
    """Everything that turns an image and a prompt into a clip; see :func:`models.animate.animate`.

    Attributes:
        network: the trained parts; all others are frozen.
    """

    def __init__(self, architecture: Architecture, *, weights: bool = True) -> None:
        """Build the parts, encoders and codec with their weights; the network's are drawn.

        Args:
            weights: False reads no file: see :func:`animator_on_meta`.

        Raises AnimaticError where weights are missing or do not fit.
        """
        super().__init__()
        self.architecture = architecture
        self.network = Network(architecture)
        self.diffusion = Diffusion(architecture.diffusion)
        image = architecture.context is not None
        self.encoders = ClipEncoders(architecture.encoders, image=image, weights=weights)
        self.codec = build_codec(architecture.codec, weights=weights)

    @property
    def device(self) -> torch.device:
        """The device of the network."""
        return self.network.unet.conv_in.weight.device

    def image_context(self, image: Tensor, frames: int) -> Tensor | None:
        """Context tokens (b t q context_dim) of images (b 3 h w) in [-1, 1] for clips of ``frames`` frames.

        None for a network without image attention.
        """
        context = self.network.context
        return None if context is None else context(self.encoders.image(image), frames)

    def with_network(self, network: Network) -> "Animator":
        """An animator around another network that shares this one's frozen parts."""
        other = copy.copy(self)
        other._modules = {**self._modules, "network": network}
        return other


def animator_on_meta(architecture: Architecture, adapter: Adapter | None = None) -> Animator:
    """The animator without any weights: it computes shapes and types, on the meta device."""
    with torch.device("meta"):
        animator = Animator(architecture, weights=False)
        if adapter is not None:
            animator.network.add_adapter(adapter)
        return animator
