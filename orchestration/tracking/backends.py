"""MLflow and W&B behind one small interface. Every call here may raise; the mirror contains it."""

from __future__ import annotations

from typing import Protocol

from orchestration.tracking.delivery import Delivery
from orchestration.tracking.facts import Changes, Facts
from orchestration.tracking.mlflow_backend import MlflowBackend
from orchestration.tracking.outcome import Outcome
from orchestration.tracking.run import TrackedRun
from orchestration.tracking.wandb_backend import WandbBackend

__all__ = ["Backend", "MlflowBackend", "WandbBackend", "backends_for"]


class Backend(Protocol):
    """A tracker as the destination of a run, used from one thread.

    Attributes:
        target: where it delivers to, for display and as the name of the saved position; without passwords.
        unique_ids: whether an id of a run at this tracker means the same run at every address of it.
    """

    name: str
    target: str
    unique_ids: bool

    def open(self, run: TrackedRun, known_id: str | None, rows: int) -> str:
        """Connect, and find or create the run there; returns the tracker's id of it.

        ``rows``: of the run that were delivered before.
        """

    def describe(self, run: TrackedRun) -> None:
        """Send the resolved configuration (once per run)."""

    def deliver(self, delivery: Delivery) -> None:
        """Send a batch, in order."""

    def display(self, facts: Facts, changes: Changes) -> None:
        """Replace tags and description, and send the files that are new or other than before."""

    def close(self, outcome: Outcome) -> None:
        """Mark how the run ended and disconnect."""


def backends_for(mlflow_uri: str, wandb_mode: str, project: str) -> list[Backend]:
    """The trackers that a configuration asks for."""
    backends: list[Backend] = [MlflowBackend(mlflow_uri)]
    if wandb_mode in ("online", "offline"):
        backends.append(WandbBackend("online" if wandb_mode == "online" else "offline", project))
    return backends
