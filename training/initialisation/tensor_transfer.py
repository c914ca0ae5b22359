"""How one tensor of a network gets its initial value: a line of the initialisation plan."""

from dataclasses import dataclass
from typing import Literal

from training.stages import Kind, Origin

Change = Literal["none", "widened", "queries"]
Shape = tuple[int, ...]


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
