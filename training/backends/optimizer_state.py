"""The state of AdamW, as DeepSpeed runs it over flat partitions of the parameters."""

from collections.abc import Iterable
from typing import Any, Protocol

import torch
from torch import Tensor

from training.backends.zero import HeldPart
from training.checkpoints.state import Piece, StateReader

MOMENTS = ("exp_avg", "exp_avg_sq")
# Attributes of DeepSpeed's dynamic loss scaler that its next decisions follow from.
_LOSS_SCALER = ("cur_scale", "cur_iter", "last_overflow_iter", "cur_hysteresis")


class Moments(Protocol):
    """The moments of an optimizer, in checkpoints."""

    def pieces(self, name: str, part: HeldPart, whole: int) -> dict[str, Piece]:
        """A process's part of the moments of a parameter by key; not collective.

        Args:
            whole: number of values of the parameter.
        """
        ...

    def restore(self, name: str, part: HeldPart, reader: StateReader) -> None:
        """Set the part to what a checkpoint has."""
        ...


class PlainMoments:
    """Moments in fp32, laid out as the partitions are; see :class:`Moments`."""

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self._optimizer = optimizer

    def pieces(self, name: str, part: HeldPart, whole: int) -> dict[str, Piece]:
        """See :class:`Moments`; views that are valid until the next step."""
        return {
            moment_key(kind, name): Piece(
                part.of(moment(self._optimizer, part.partition, kind)), part.start, whole
            )
            for kind in MOMENTS
        }

    def restore(self, name: str, part: HeldPart, reader: StateReader) -> None:
        """See :class:`Moments`."""
        for kind in MOMENTS:
            read = reader.read(moment_key(kind, name), part.start, part.size)
            part.of(moment(self._optimizer, part.partition, kind)).copy_(read)


def moment_key(kind: str, name: str) -> str:
    """Key in checkpoints of a parameter's moment."""
    return f"{kind}/{name}"


def scale_key(kind: str, name: str) -> str:
    """Key of the scales of a moment's blocks, where it has some."""
    return f"{kind}_scale/{name}"


def moment(optimizer: torch.optim.Optimizer, partition: Tensor, kind: str) -> Tensor:
    """A moment of the values of a partition, laid out alike.

    AdamW creates its state in the first step; before that this creates the same, which is zero.
    """
    state = optimizer.state[partition]
    if not state:
        state.update({name: torch.zeros_like(partition.detach()) for name in MOMENTS})
        # Fused AdamW counts its updates on the device, others on the host.
        device = partition.device if optimizer.defaults["fused"] else torch.device("cpu")
        state["step"] = torch.zeros((), dtype=torch.float32, device=device)
    return state[kind]


def set_updates(optimizer: torch.optim.Optimizer, partitions: Iterable[Tensor], updates: int) -> None:
    """Set the number of updates that AdamW corrects the bias of its moments by."""
    for partition in partitions:
        optimizer.state[partition]["step"].fill_(updates)


def loss_scaling(optimizer: Any) -> dict[str, float]:
    """The state of a dynamic loss scale, which fp16 has; else empty."""
    scaler = _dynamic_scaler(optimizer)
    return {} if scaler is None else {name: getattr(scaler, name) for name in _LOSS_SCALER}


def set_loss_scaling(optimizer: Any, values: dict[str, Any]) -> None:
    """Set what :func:`loss_scaling` returned; nothing where the loss scale is not dynamic."""
    scaler = _dynamic_scaler(optimizer)
    if scaler is not None:
        for name in _LOSS_SCALER:
            setattr(scaler, name, values[name])


def _dynamic_scaler(optimizer: Any) -> Any:
    scaler = getattr(optimizer, "loss_scaler", None)
    return scaler if getattr(scaler, "dynamic", False) else None
