"""What workers do in tests of skipped steps: steps in which one process goes wrong."""

import itertools
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from models.batch import Batch
from tests.support.training_jobs import SyntheticSource
from training.backends import DeepSpeedBackend, Ema
from training.checkpoints import Stateful
from training.clock import StepClock
from training.config import load
from training.initialisation import initialise
from training.objectives import Losses, Objective, build_objective
from training.processes.group import join_process_group
from training.trainable import trainable_names

Fault = Literal["nan loss", "nan gradient", "spike"]
SPIKE = 1000.0


class _NanGradient(torch.autograd.Function):
    """Passes values on, and gradients that are not finite back."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        return value.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        return gradient * torch.nan


class Faulty:
    """An objective that goes wrong in one pass of a step: in the first of those after ``fault`` was set."""

    def __init__(self, objective: Objective) -> None:
        self._objective = objective
        self.fault: Fault | None = None

    def __call__(self, batch: Batch, *, temporal: bool) -> Losses:
        losses, fault, self.fault = self._objective(batch, temporal=temporal), self.fault, None
        if fault is None:
            return losses
        if fault == "nan gradient":
            return losses._replace(mean=_NanGradient.apply(losses.mean))
        factor = SPIKE if fault == "spike" else torch.nan
        return losses._replace(mean=losses.mean * factor, samples=losses.samples * factor)


def steps_with_faults(config_path: str, faults: list[Fault], limit: float) -> dict[str, Any]:
    """A good step, then for each fault a step in whose first pass the second process has it, and a good one.

    Returns what is known after them in this process: of each step whether it was applied, its learning rate,
    loss and norm, and what it changed of the state that a checkpoint contains and of the weights as the
    network uses them.
    """
    config = load(Path(config_path))
    group = join_process_group(gpu=False)
    animator, start = initialise(config)
    objective = Faulty(build_objective(config, animator, StepClock()))
    trainable = trainable_names(config, list(start.weights))
    backend = DeepSpeedBackend(animator, objective, trainable, start.weights, config, group)
    ema = Ema(backend.fragments(), 0.5)
    batches = SyntheticSource(config).batches(group.rank, group.size, 0, config.train.global_batch)
    results, changes, before = [], [], None
    planned = itertools.chain([None], *((fault, None) for fault in faults))
    for step, fault in enumerate(planned, 1):
        objective.fault = fault if group.rank == 1 else None
        results.append(backend.train_step(next(batches), step, limit=limit))
        if results[-1].applied:
            ema.update(backend.fragments(), step)
        after = _copied([backend, ema]) | {"network": _flat(animator.network.parameters())}
        changes.append(_changed(before or after, after))
        before = after
    return {
        "applied": [result.applied for result in results],
        "rates": [result.learning_rate for result in results],
        "losses": [float(result.loss) for result in results],
        "norms": [result.grad_norm for result in results],
        "changes": changes,
        "skipped": backend.skipped_steps,
    }


def _copied(states: list[Stateful]) -> dict[str, Tensor]:
    pieces = [(key, piece) for state in states for key, piece in state.pieces().items()]
    return {key: piece.values.detach().clone() for key, piece in pieces}


def _flat(parameters: Any) -> Tensor:
    """The weights that this process has, as the network uses them."""
    return torch.cat([getattr(p, "ds_tensor", p).detach().flatten().float() for p in parameters])


def _changed(before: dict[str, Tensor], after: dict[str, Tensor]) -> list[str]:
    """Kinds of which any value changed."""
    assert before.keys() == after.keys()
    return sorted({key.split("/")[0] for key, value in after.items() if not torch.equal(value, before[key])})
