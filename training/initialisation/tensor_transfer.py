"""The transfer of one tensor into a network: a line of the initialisation plan, and its application."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from models.architecture import Architecture
from models.network.context import resample_queries
from models.state_dict_diff import Shape
from training.stages import Kind, Origin

Change = Literal["none", "widened", "narrowed", "queries"]

_QUERIES = "context.latents"
FIRST_CONVOLUTION = "unet.conv_in.weight"
# By target's / source's input channels: those for the condition's latent come after those for the noisy one.
_CHANGES_OF_CHANNELS: dict[float, Change] = {2: "widened", 0.5: "narrowed"}


@dataclass(frozen=True)
class TensorTransfer:
    """How one tensor of the network gets its initial value.

    Attributes:
        key: public key name.
        kind: decides in which stages the tensor is trained.
        shape: in the network.
        origin: the bundle that the tensor is read from, or new.
        change: applied to the tensor that is read.
        how: a description of the change, or of the initial values.
    """

    key: str
    kind: Kind
    shape: Shape
    origin: Origin
    change: Change
    how: str


def find_change(name: str, source: Shape, target: Shape) -> Change | None:
    """What makes the ``source`` shape fit the ``target``; None when nothing does."""
    if source == target:
        return "none"
    if name == _QUERIES and source[2] == target[2]:
        return "queries"
    if name == FIRST_CONVOLUTION and source[0] == target[0] and source[2:] == target[2:]:
        return _CHANGES_OF_CHANNELS.get(target[1] / source[1])
    return None


def describe_change(
    change: Change, architecture: Architecture, source: Shape, target: Shape, *, from_base: bool
) -> str:
    """The change in words, for shapes that :func:`find_change` found it for."""
    if change == "widened":
        added = "those of the base" if from_base else "zeros"
        return f"{source[1]} input channels widened to {target[1]} with {added}"
    if change == "narrowed":
        return f"{source[1]} input channels without the {target[1]} of the condition"
    if change == "queries":
        queries = _query_set(architecture)
        sets, frames = source[1] // queries, target[1] // queries
        if sets == 1:
            return f"{queries} queries of an image repeated for {frames} frames"
        return f"{queries} queries for each of {sets} frames shared out to {frames} frames"
    return "as it is"


def apply_transfer(
    transfer: TensorTransfer, source: Tensor, architecture: Architecture, conditioned: Tensor | None
) -> Tensor:
    """The network's tensor from the bundle's, in the bundle's precision.

    The same tensor, not a copy, where nothing changes: bundles are mapped files, which use no memory.

    Args:
        conditioned: the first convolution of a network with detail guidance, whose channels for the condition
            are added; None: zeros are.
    """
    if transfer.change == "widened":
        width = source.shape[1]
        added = torch.zeros_like(source) if conditioned is None else conditioned[:, width:].to(source.dtype)
        return torch.cat([source, added], dim=1)
    if transfer.change == "narrowed":
        return source[:, : transfer.shape[1]].contiguous()
    if transfer.change == "queries":
        queries = _query_set(architecture)
        return resample_queries(source, queries, transfer.shape[1] // queries)
    return source


def _query_set(architecture: Architecture) -> int:
    assert architecture.context is not None  # only a query transformer has queries
    return architecture.context.queries
