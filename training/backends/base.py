"""What the training loop needs of a backend, which owns the trained weights and their optimizer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from models.batch import Batch
from training.checkpoints.state import Pieces, Stateful


@dataclass(frozen=True)
class StepResult:
    """One optimizer step.

    Attributes:
        loss: mean over the global batch (scalar), on the backend's device.
        applied: False when a gradient was not finite and the step was skipped.
        grad_norm: norm of all gradients before clipping.
        learning_rate: of this step.
        samples: losses of this process's samples (b), on the device.
        timesteps: their diffusion steps (b), on the device; -1 where the objective has none.
    """

    loss: Tensor
    applied: bool
    grad_norm: float
    learning_rate: float
    samples: Tensor
    timesteps: Tensor


class Backend(Stateful, Protocol):
    """Trains the network of an animator; every method is collective unless its docstring states otherwise.

    Attributes:
        device: of the network in this process.
        trainable: names of the trained parameters, in order.
    """

    device: torch.device
    trainable: Sequence[str]

    @property
    def skipped_steps(self) -> int:
        """Steps skipped for non-finite gradients since the run began, resumes included. Not collective."""
        ...

    @property
    def loss_scale(self) -> float | None:
        """The factor on the loss that keeps fp16 gradients in range; None in other precisions. Not
        collective."""
        ...

    def train_step(
        self, batch: Batch, step: int, *, limit: float | None = None, temporal: bool = True
    ) -> StepResult:
        """One optimizer step, skipped by all processes where the loss or a gradient is not finite.

        Args:
            batch: this process's share of the global batch.
            step: its number in the run, from 1. The learning rate is that of the steps applied so far.
            limit: the step is skipped where the loss of the global batch is larger; None for no limit.
            temporal: False trains on single frames, without the temporal layers.
        """
        ...

    def fragments(self) -> Pieces:
        """This process's parts of the fp32 master weights by name, without those it has no part of.

        The parts of all processes cover each parameter exactly once. Not collective. The views stay valid
        until the next step.
        """
        ...

    def gather(self, values: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
        """Whole fp32 tensors of the trained parameters, on the first process's CPU; empty elsewhere.

        Args:
            values: gathered in place of the master weights, laid out like :meth:`fragments`.
        """
        ...
