"""Live tensors, counted as they are made and freed: the same on every device, the meta device included."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from models.network.activation_checkpointing import is_dense


class LiveMemory(TorchDispatchMode):
    """While active, counts the bytes of tensors made by torch's operations; ``known`` tensors are left out.

    Attributes:
        now: bytes alive.
        peak: most bytes alive at one time.
    """

    def __init__(self, known: Iterable[Tensor]) -> None:
        super().__init__()
        self._alive = {tensor.untyped_storage()._cdata for tensor in known}
        self._recent = 0
        self.now = 0
        self.peak = 0

    def recent_peak(self) -> int:
        """Most bytes alive at one time since the last call."""
        recent, self._recent = self._recent, self.now
        return recent

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        tree_map_only(Tensor, self._count, out)
        return out

    def _count(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key not in self._alive:
            self._alive.add(key)
            weakref.finalize(storage, self._free, key, size)
            self.now += size
            self.peak = max(self.peak, self.now)
            self._recent = max(self._recent, self.now)
        return tensor

    def _free(self, key: int, size: int) -> None:
        self._alive.discard(key)
        self.now -= size


class HostMemory:
    """Takes the place of host memory for saved tensors without content: what is saved leaves the device, and
    is there again when the backward pass needs it.

    Attributes:
        bytes: of all that was saved, as torch allocates locked memory: the next power of two.
    """

    def __init__(self) -> None:
        self.bytes = 0

    def saving(self) -> saved_tensors_hooks:
        """The context in which tensors are saved."""
        return saved_tensors_hooks(self._save, _again)

    def _save(self, tensor: Tensor) -> Callable[[], Tensor]:
        if not is_dense(tensor):
            return lambda: tensor
        if tensor.nbytes:
            self.bytes += 1 << (tensor.nbytes - 1).bit_length()
        return partial(
            torch.empty_strided, tensor.shape, tensor.stride(), dtype=tensor.dtype, device=tensor.device
        )


def _again(saved: Callable[[], Tensor]) -> Tensor:
    return saved()


def weights_and_buffers(module: nn.Module) -> list[Tensor]:
    """What a module holds whether it runs or not."""
    return [*module.parameters(), *module.buffers()]
