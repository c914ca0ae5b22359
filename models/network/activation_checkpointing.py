"""Activation checkpointing (arXiv:1604.06174): less memory for activations, some of them computed twice."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.checkpoint import checkpoint

from models.network.attention import SpatialTransformer, TemporalTransformer
from models.network.settings import ActivationCheckpointing
from models.network.unet import UNet

# Where saved inputs are kept: a context in which autograd saves them.
Saving = Callable[[], AbstractContextManager[Any]]


def checkpoint_activations(unet: UNet, scope: ActivationCheckpointing, saving: Saving | None = None) -> None:
    """Keep only the inputs of the chosen modules for the backward pass, in place.

    Args:
        scope: "selective": every transformer, where most of the activations are; "full": every step of the
            network on its way down and up, convolutions included.
        saving: how these inputs are kept; None: on the device.
    """
    for module in _modules(unet, scope):
        recomputed = partial(checkpoint, module.forward, use_reentrant=False)
        module.forward = recomputed if saving is None else partial(_saved, saving, recomputed)


def in_host_memory() -> saved_tensors_hooks:
    """A context in which autograd keeps what it saves in host memory, locked where it comes from a GPU.

    As torch's ``save_on_cpu``, whose copies are contiguous: with another layout of its inputs, a recomputed
    layer saves other tensors than it did before, which torch refuses (2.15, measured).
    """
    return saved_tensors_hooks(_to_host, _to_device)


def is_dense(tensor: Tensor) -> bool:
    """Whether a tensor's elements fill its memory without gaps and overlaps, in whatever order."""
    reached = 1
    for stride, size in sorted(zip(tensor.stride(), tensor.shape, strict=True)):
        if size != 1 and stride != reached:
            return False
        reached *= size
    return True


def _to_host(tensor: Tensor) -> tuple[torch.device, Tensor]:
    if not is_dense(tensor):
        return tensor.device, tensor  # a view of what others need as well
    packed = torch.empty_strided(
        tensor.size(), tensor.stride(), dtype=tensor.dtype, device="cpu", pin_memory=tensor.is_cuda
    )
    packed.copy_(tensor, non_blocking=tensor.is_cuda)
    return tensor.device, packed


def _to_device(saved: tuple[torch.device, Tensor]) -> Tensor:
    device, tensor = saved
    return tensor.to(device, non_blocking=True)


def _saved(saving: Saving, forward: Callable[..., Any], *inputs: Any) -> Any:
    """What a recomputed module returns, with its inputs saved as chosen: those of the layers within it are
    not saved but computed again."""
    with saving():
        return forward(*inputs)


def _modules(unet: UNet, scope: ActivationCheckpointing) -> Iterator[nn.Module]:
    if scope == "full":
        yield from (*unet.encoder, unet.middle, *unet.decoder)
    elif scope == "selective":
        for module in unet.modules():
            if isinstance(module, SpatialTransformer | TemporalTransformer):
                yield module
