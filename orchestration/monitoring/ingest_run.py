"""An ingest as a run of the tracker: a run folder with a journal, mirrored as a training run's is."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, ClassVar, Self

import yaml

from core.files import write_text
from core.urls import without_credentials
from orchestration.tracking import TrackedRun, backends_for, mirrored
from training.config import TrackingConfig
from training.events import Ended, Metrics
from training.journal import Journal

if TYPE_CHECKING:
    from pipelines.ingest import IngestProgress

EVERY_S = 5.0
# Separate from the experiment of training: the charts of the two are not comparable.
EXPERIMENT = "animatic-ingest"


@dataclass(frozen=True)
class IngestStarted:
    """The ingest begins."""

    event: ClassVar[str] = "start"


@contextmanager
def ingest_run(
    folder: Path,
    settings: Mapping[str, object],
    mlflow_uri: str | None,
    workspace_uri: str,
    on_warning: Callable[[str], None],
) -> Iterator[ProgressJournal]:
    """A new run folder with config.yaml and journal.jsonl, mirrored to MLflow until the block ends.

    ``mlflow_uri``: recorded, since the run is not mirrored to ``workspace_uri``; None where it is.
    """
    tracking = TrackingConfig(mlflow_uri=mlflow_uri, wandb="disabled", project=EXPERIMENT)
    folder.mkdir(parents=True)
    content = {"ingest": dict(settings), "tracking": tracking.model_dump(mode="json")}
    # Sources may be URLs with passwords.
    write_text(folder / "config.yaml", without_credentials(yaml.safe_dump(content, sort_keys=False)))
    run = TrackedRun.of(folder, tracking.project)
    backends = backends_for(mlflow_uri or workspace_uri, tracking.wandb, tracking.project)
    with mirrored(run, backends, on_warning), ProgressJournal(run.journal) as journal:
        yield journal


class ProgressJournal:
    """Writes the progress of an ingest to a journal; the step of a metric is the number of rows done."""

    def __init__(self, path: Path) -> None:
        self._journal = Journal(path)
        self._state: IngestProgress | None = None
        self._rows = 0
        self._written = 0.0

    def __enter__(self) -> Self:
        self._journal.record(0, IngestStarted())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._write()
        if kind is None:
            self._journal.record(self._rows, Ended())
        self._journal.close()

    def __call__(self, state: IngestProgress) -> None:
        """Take a new state; one every few seconds is written."""
        self._state, self._rows = state, state.rows
        if time.monotonic() - self._written > EVERY_S:
            self._write()

    def _write(self) -> None:
        if self._state is not None:
            self._journal.record(self._state.rows, Metrics(metrics_of(self._state)))
            self._state, self._written = None, time.monotonic()


def metrics_of(state: IngestProgress) -> dict[str, float]:
    """The figures by their names in the tracker."""
    figures: dict[str, float | None] = {
        "ingest/rows": state.rows,
        "ingest/samples": state.samples,
        "ingest/rejected_rows": state.rejected,
        "ingest/bytes": state.bytes,
        "ingest/rows_per_s": state.rows_per_s,
        "ingest/samples_per_s": state.samples_per_s,
        "ingest/bytes_per_s": state.bytes_per_s,
        "ingest/seconds_left": state.seconds_left,
        **{f"ingest/rejected/{reason}": count for reason, count in state.reasons.items()},
    }
    return {name: float(value) for name, value in figures.items() if value is not None}


def run_folder(root: Path, verb: str, dataset: str) -> Path:
    """A new folder for every call, named after the time and the dataset."""
    name = Path(dataset.rstrip("/")).name or "data"
    return root / f"{time.strftime('%Y%m%d-%H%M%S')}-{verb}-{name}-{uuid.uuid4().hex[:4]}"
