"""Run folders as training leaves them, for tests of trackers."""

import json
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Run

PROJECT = "tracking-test"


def append(folder: Path, event: str, step: int, **content: Any) -> None:
    """Add a line to the journal of a run."""
    line = {"time": 1_700_000_000.0 + step, "event": event, "step": step, **content}
    with (folder / "journal.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")


def write_metrics(folder: Path, steps: range) -> None:
    """Add a loss for each of these steps."""
    for step in steps:
        append(folder, "metrics", step, metrics={"train/loss": 1 / step})


def make_run(folder: Path, config: str = "stage: 1\n") -> Path:
    """A run folder with a configuration and five steps."""
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(config)
    append(folder, "start", 0, config_hash="c0ffee")
    write_metrics(folder, range(1, 6))
    return folder


def runs_at(store: str) -> list[Run]:
    """All runs of the project in an MLflow store, the oldest first."""
    client = MlflowClient(tracking_uri=store)
    experiment = client.get_experiment_by_name(PROJECT)
    return client.search_runs([experiment.experiment_id], order_by=["attributes.start_time ASC"])


def points_at(store: str, run: Run) -> list[tuple[int, float]]:
    """Step and value of every loss of a run, as often as it was delivered."""
    history = MlflowClient(tracking_uri=store).get_metric_history(run.info.run_id, "train/loss")
    return [(point.step, point.value) for point in history]
