"""What the training loop needs of an objective."""

from typing import NamedTuple, Protocol

from torch import Tensor

from models.batch import Batch


class Losses(NamedTuple):
    """The loss of a batch.

    Attributes:
        mean: what is minimised (scalar).
        samples: of each sample (b), detached.
        timesteps: diffusion step of each sample (b), on the device; -1 where the objective has none.
    """

    mean: Tensor
    samples: Tensor
    timesteps: Tensor


class Objective(Protocol):
    """The loss that a backend minimises.

    Of the frozen parts, codec and text tower are in host memory until the objective takes them to the device:
    see :mod:`models.frozen_parts`.
    """

    def __call__(self, batch: Batch, *, temporal: bool) -> Losses:
        """The losses of a batch; ``temporal``: False leaves the temporal layers out."""
        ...
