"""A GPU's kernels on the meta device: shapes and types of CUDA's attention and autocast, without a GPU.

torch's own fake tensors of a GPU stop at the backward pass, for which autograd asks the device; meta tensors
have one. They take the unfused attention, and know no autocast: both are replaced here by what CUDA does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only
from torch.utils.flop_counter import flop_registry

# Of CUDA's autocast (pytorch.org/docs/stable/amp.html): what the network calls of its lists.
_IN_HALF: frozenset[Any] = frozenset(
    {F.linear, F.conv1d, F.conv2d, F.conv3d, torch.matmul, torch.bmm, torch.einsum}
)
_IN_FP32: frozenset[Any] = frozenset({F.layer_norm})


class CudaKernels(TorchFunctionMode):
    """While active, meta tensors get the results that CUDA's kernels give, of the same shapes and types."""

    def __init__(self, half: torch.dtype | None) -> None:
        """``half``: the type of autocast; None where it is off."""
        super().__init__()
        self._half = half
        self._entered = 0

    def __enter__(self) -> Self:
        self._entered += 1
        super().__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._entered -= 1
        super().__exit__(kind, value, trace)

    def follow(self, module: nn.Module) -> None:
        """Be active in the module's forward pass wherever it runs: also where the backward pass, inside of
        which torch leaves such modes, computes it again. Before ``checkpoint_activations``."""
        forward = module.forward

        def followed(*args: Any) -> Any:
            if self._entered:
                return forward(*args)
            with self:
                return forward(*args)

        module.forward = followed

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        named = dict(kwargs or {})
        if func is F.scaled_dot_product_attention and len(args) == 3 and not named:
            return _attention(*(_cast(each, self._half) for each in args))
        if self._half is not None and func in _IN_HALF:
            return func(*_cast(tuple(args), self._half), **_cast(named, self._half))
        if self._half is not None and func in _IN_FP32:
            return func(*_cast(tuple(args), torch.float32), **_cast(named, torch.float32))
        return func(*args, **named)


def _attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Fused attention as CUDA chooses it: FlashAttention for half types, the memory-efficient one for
    float32."""
    if query.dtype == torch.float32:
        efficient = torch.ops.aten._scaled_dot_product_efficient_attention
        attended: Tensor = efficient(query, key, value, None, query.requires_grad)[0]
        return attended
    flash: Tensor = torch.ops.aten._scaled_dot_product_flash_attention(query, key, value)[0]
    return flash


def _cast(values: Any, dtype: torch.dtype | None) -> Any:
    if dtype is None:
        return values
    return tree_map_only(Tensor, lambda x: x.to(dtype) if x.is_floating_point() else x, values)


class FlopCount(TorchDispatchMode):
    """While active, counts floating-point operations of matrix products, convolutions and attention by
    torch's formulas: a multiplication and an addition are two.

    Not torch's own ``FlopCounterMode``, whose hooks on modules keep recomputed activations alive.

    Attributes:
        total: so far.
    """

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        formula = flop_registry.get(func._overloadpacket)
        if formula is not None:
            self.total += int(formula(*args, **(kwargs or {}), out_val=out))
        return out
