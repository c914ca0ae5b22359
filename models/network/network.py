"""The trained network: the space-time UNet and the query transformer together."""

import torch
from torch import nn

from models.architecture import Architecture
from models.network.context import QueryTransformer
from models.network.unet import UNet


class Network(nn.Module):
    """The parts of an animator that stages train.

    Its parameter names (``unet.…``, ``context.…``) are the internal names by which training selects,
    transfers and checkpoints weights; :mod:`models.network.parameter_names` maps them to the public ones.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.unet = UNet(architecture.unet)
        self.context = QueryTransformer(architecture.context) if architecture.context else None


def network_on_meta(architecture: Architecture) -> Network:
    """The network without its weights: names and shapes."""
    with torch.device("meta"):
        return Network(architecture)
