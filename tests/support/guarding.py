"""Steps as a guard sees them, without training."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from models.batch import Batch
from tests.support.training_jobs import SyntheticSource, small_config
from training.backends import StepResult
from training.checkpoints.state import Counters, Pieces
from training.config import RunConfig
from training.guard import Guard
from training.journal import Journal, JournalEntry, read_journal
from training.processes.group import ProcessGroup
from training.run_folder import RunFolder


def step_result(loss: float, applied: bool = True, samples: tuple[float, ...] = (1.0, 2.0)) -> StepResult:
    """A step on as many samples, the first at timestep 0."""
    return StepResult(
        loss=torch.tensor(loss),
        applied=applied,
        grad_norm=0.5 if applied else float("inf"),
        learning_rate=1e-3,
        samples=torch.tensor(samples),
        timesteps=torch.arange(len(samples)),
    )


@dataclass
class GuardedRun:
    """A guard of one process, its journal and run folder; ``batch``: that of every step."""

    folder: RunFolder
    sets: tuple[str, ...] = ()
    config: RunConfig = field(init=False)
    batch: Batch = field(init=False)
    guard: Guard = field(init=False)

    def __post_init__(self) -> None:
        self.config = small_config(0, *self.sets)
        self.batch = SyntheticSource(self.config).samples([0, 1])
        self.folder.path.mkdir(parents=True, exist_ok=True)
        self.guard = Guard(self.config, self.folder, ProcessGroup(0, 1), Journal(self.folder.journal))

    def steps(self, *losses: float, begin: int = 1) -> list[bool]:
        """Steps with these losses, applied or not as the limit decides -> which were applied."""
        applied = []
        for step, loss in enumerate(losses, begin):
            limit = self.guard.limit
            applied.append(loss <= (float("inf") if limit is None else limit))
            self.guard.count(step_result(loss, applied[-1]), self.batch, step)
        return applied

    def warnings(self) -> list[JournalEntry]:
        return [entry for entry in read_journal(self.folder.journal) if entry.event == "warning"]


@dataclass(frozen=True)
class SavedState:
    """A reader of what states returned, as from a checkpoint in ``folder``."""

    folder: Path
    tensors: Pieces
    counters: Counters

    @property
    def keys(self) -> Mapping[str, object]:
        return self.tensors

    def whole(self, key: str) -> int:
        return self.tensors[key].whole

    def read(self, key: str, start: int, count: int) -> Tensor:
        return self.tensors[key].values[start : start + count].clone()


def saved_state(run: GuardedRun) -> SavedState:
    """The guard's state as in a checkpoint of its run."""
    folder = run.folder.checkpoints / "step-00000001"
    return SavedState(folder, dict(run.guard.pieces()), dict(run.guard.counters()))
