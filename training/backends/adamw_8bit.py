"""AdamW with moments of 8 bits (arXiv:2110.02861), for ZeRO stage 0. Needs torchao, of the extra ``8bit``."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torchao.optim import AdamW8bit
from torchao.optim.quant_utils import dequant_with_qmap, quantize_8bit_with_qmap
from torchao.optim.subclass_8bit import OptimState8bit

from training.backends.guarded import Guarded
from training.backends.optimizer_state import MOMENTS, PlainMoments, moment_key, scale_key
from training.backends.zero import HeldPart
from training.checkpoints import check_whole
from training.checkpoints.state import Piece, StateReader

# torchao's least scale of a block.
_LEAST_SCALE = 1e-12


class GuardedAdamW8bit(Guarded, AdamW8bit):
    """torchao's AdamW with moments of 8 bits: a code for each value and a scale for each block.

    Moments of parameters that are small, or not of whole blocks, are in fp32.
    """

    def __init__(
        self, parameters: Sequence[nn.Parameter] | list[dict[str, Any]], max_norm: float, **settings: Any
    ) -> None:
        """``max_norm``: see :meth:`Guarded.clip_at`. ``settings``: AdamW's."""
        super().__init__(parameters, **settings)
        self.clip_at(max_norm)

    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Apply the gradients unless one is not finite."""
        for group in self.param_groups:
            # Compiled, a rate that is a number would be a constant.
            group["lr"] = torch.as_tensor(group["lr"], dtype=torch.float32)
        with _as_it_is(self.param_groups[0]["params"][0].device):
            super().step(closure)

    def state_of(self, parameter: Tensor) -> dict[str, Tensor]:
        """The state of a parameter; before the first step, the same as that creates."""
        state: dict[str, Tensor] = self.state[parameter]
        if not state:
            state["step"] = torch.tensor(0.0)
            state["exp_avg"] = self._new_buffer(parameter, True)
            state["exp_avg_sq"] = self._new_buffer(parameter, False)
        return state


class BlockMoments:
    """The moments of :class:`GuardedAdamW8bit`; see :class:`training.backends.optimizer_state.Moments`.

    Their values are stored in fp32, as those of AdamW, which can continue them. The scales are stored
    besides, from which the codes follow exactly.
    """

    def __init__(self, optimizer: GuardedAdamW8bit) -> None:
        self._optimizer, self._plain = optimizer, PlainMoments(optimizer)

    def pieces(self, name: str, part: HeldPart, whole: int) -> dict[str, Piece]:
        """See :class:`training.backends.optimizer_state.Moments`; in host memory: a GPU may lack the room."""
        pieces: dict[str, Piece] = {}
        state = self._optimizer.state_of(part.partition)
        for kind in MOMENTS:
            moment = state[kind]
            if not isinstance(moment, OptimState8bit):
                return self._plain.pieces(name, part, whole)
            size, end = moment.block_size, part.start + part.size
            first, last = part.start // size, -(-end // size)
            scale = moment.scale[first:last].cpu()
            codes = moment.codes.view(-1)[first * size : last * size].cpu()
            values = dequant_with_qmap(codes, moment.qmap.cpu(), scale)
            own = values[part.start - first * size : end - first * size]
            pieces[moment_key(kind, name)] = Piece(own, part.start, whole)
            # Of a block that two processes have a part of, the scale is the first one's.
            begun = -(-part.start // size)
            pieces[scale_key(kind, name)] = Piece(scale[begun - first :], begun, whole // size)
        return pieces

    def restore(self, name: str, part: HeldPart, reader: StateReader) -> None:
        """See :class:`training.backends.optimizer_state.Moments`."""
        state = self._optimizer.state_of(part.partition)
        for kind in MOMENTS:
            moment = state[kind]
            if not isinstance(moment, OptimState8bit):
                self._plain.restore(name, part, reader)
                return
            values = reader.read(moment_key(kind, name), part.start, part.size).view(-1, moment.block_size)
            if scale_key(kind, name) in reader.keys:
                check_whole(reader, scale_key(kind, name), moment.scale.numel())
                scale = reader.read(scale_key(kind, name), 0, moment.scale.numel())
            else:  # of AdamW, whose moments are rounded to 8 bits here
                scale = values.abs().amax(-1).clip(_LEAST_SCALE)
            scaled = values / scale.clip(_LEAST_SCALE).view(-1, 1)
            codes = quantize_8bit_with_qmap(scaled, moment.qmap.cpu())
            moment.codes.copy_(codes.view(moment.shape))
            moment.scale.copy_(scale)


def _as_it_is(device: torch.device) -> AbstractContextManager[Any]:
    """Inside, torchao does not compile its step on a CPU, where that takes seconds for each shape."""
    return nullcontext() if device.type == "cuda" else torch.compiler.set_stance("force_eager")
