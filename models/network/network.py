"""The trained network: the space-time UNet and the query transformer together."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import nn

from models.architecture import Architecture
from models.network.adapter import Adapter, add_adapter, without_adapter
from models.network.context import QueryTransformer
from models.network.unet import UNet


class Network(nn.Module):
    """The parts of an animator that stages train.

    Its parameter names (``unet.…``, ``context.…``) are the internal names by which training selects,
    transfers and checkpoints weights; :mod:`models.network.parameter_names` maps them to the public ones.

    Attributes:
        adapter: whose matrices are among the parameters; None without one.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.unet = UNet(architecture.unet)
        self.context = QueryTransformer(architecture.context) if architecture.context else None
        self.adapter: Adapter | None = None

    def add_adapter(self, adapter: Adapter) -> None:
        """Add a new adapter, in place: see :func:`models.network.adapter.add_adapter`."""
        add_adapter(self, adapter)
        self.adapter = adapter

    def without_adapter(self) -> AbstractContextManager[None]:
        """A block in which the adapter, if there is one, has no effect."""
        return nullcontext() if self.adapter is None else without_adapter(self, self.adapter)


def network_on_meta(architecture: Architecture, adapter: Adapter | None = None) -> Network:
    """The network without its weights: names and shapes."""
    with torch.device("meta"):
        network = Network(architecture)
        if adapter is not None:
            network.add_adapter(adapter)
        return network
