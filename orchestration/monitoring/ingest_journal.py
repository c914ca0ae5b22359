"""An ingest as a run of the tracker: its journal, mirrored as a training run's is."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import yaml

from core.files import write_text
from orchestration.tracking import Mirror, backends_for
from orchestration.tracking.run import TrackedRun
from training.config.sections import TrackingConfig
from training.events import Ended, Metrics
from training.journal import Journal

if TYPE_CHECKING:
    from orchestration.tracking.backends import Outcome
    from pipelines.ingest import IngestProgress

EVERY_S = 5.0
# Beside the experiment of training, whose charts would not compare with these.
EXPERIMENT = "animatic-ingest"


@dataclass(frozen=True)
class IngestStarted:
    """The ingest begins."""

    event: ClassVar[str] = "start"


class JournalledIngest:
    """A run folder with config.yaml and journal.jsonl, and its mirror. The step of a metric is the number of
    rows done."""

    def __init__(self, folder: Path, config: dict[str, Any], mlflow_uri: str) -> None:
        tracking = TrackingConfig(mlflow_uri=mlflow_uri, wandb="disabled", project=EXPERIMENT)
        folder.mkdir(parents=True)
        content = {"ingest": config, "tracking": tracking.model_dump(mode="json")}
        write_text(folder / "config.yaml", yaml.safe_dump(content, sort_keys=False))
        self.folder = folder
        self._journal = Journal(folder / "journal.jsonl")
        self._journal.record(0, IngestStarted())
        self._state: IngestProgress | None = None
        self._rows = 0
        self._written = 0.0
        run = TrackedRun.of(folder, tracking.project)
        self._mirror = Mirror(run, backends_for(mlflow_uri, tracking.wandb, tracking.project))

    def __call__(self, state: IngestProgress) -> None:
        """Take a new state; written a few times a minute."""
        self._state, self._rows = state, state.rows
        if time.monotonic() - self._written > EVERY_S:
            self._write()

    def close(self, outcome: Outcome) -> list[str]:
        """Write the last state and let the trackers catch up; names those that are still behind."""
        self._write()
        if outcome == "finished":
            self._journal.record(self._rows, Ended())
        self._journal.close()
        return self._mirror.close(outcome)

    def _write(self) -> None:
        if self._state is not None:
            self._journal.record(self._state.rows, Metrics(metrics_of(self._state)))
            self._state, self._written = None, time.monotonic()


def metrics_of(state: IngestProgress) -> dict[str, float]:
    """The figures by the names that the tracker shows."""
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
    """A folder of its own for every call, named after the time and the dataset."""
    name = Path(dataset.rstrip("/")).name or "data"
    return root / f"{time.strftime('%Y%m%d-%H%M%S')}-{verb}-{name}-{uuid.uuid4().hex[:4]}"
