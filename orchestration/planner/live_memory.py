"""Live tensors, counted as they are made and freed: the same on every device, the meta device included."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only


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


def weights_and_buffers(module: nn.Module) -> list[Tensor]:
    """What a module holds whether it runs or not."""
    return [*module.parameters(), *module.buffers()]
