"""MLflow as the destination of a run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

from core.urls import is_url, scheme_of, without_credentials
from orchestration.tracking.delivery import Delivery
from orchestration.tracking.description import describe
from orchestration.tracking.facts import Changes, Facts, UsedDataset
from orchestration.tracking.mlflow_store import (
    artifact_location,
    find_run,
    mlflow_client,
    relocate_artifacts,
)
from orchestration.tracking.outcome import Outcome
from orchestration.tracking.run import TrackedRun

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput

METRICS_PER_BATCH = 1000
PARAMS_PER_BATCH = 100
PARAM_CHARS = 6000
TAG_CHARS = 8000
DIGEST_CHARS = 36
NOTE = "mlflow.note.content"
T = TypeVar("T")


class MlflowBackend:
    """Mirrors to an MLflow store: a ``sqlite:///`` file (artifacts beside it) or a server's URL."""

    name, unique_ids = "mlflow", True

    def __init__(self, uri: str) -> None:
        self._uri, self.target = uri, without_credentials(uri)

    def open(self, run: TrackedRun, known_id: str | None, rows: int) -> str:
        self._client = mlflow_client(self._uri)
        relocate_artifacts(self._uri)
        found = known_id or find_run(self._client, run)
        if found is not None:
            self._client.set_tag(found, "animatic.folder", str(run.folder.resolve()))
        self._run_id = found or self._create(run)
        return self._run_id

    def describe(self, run: TrackedRun) -> None:
        from mlflow.entities import Param

        parameters = [Param(key, value[:PARAM_CHARS]) for key, value in run.parameters().items()]
        for chunk in _chunks(parameters, PARAMS_PER_BATCH):
            self._client.log_batch(self._run_id, params=chunk)

    def deliver(self, delivery: Delivery) -> None:
        from mlflow.entities import Metric

        if delivery.started:
            self._client.update_run(self._run_id, status="RUNNING")
        points = [Metric(p.key, p.value, int(p.time * 1000), p.step) for p in delivery.points]
        for chunk in _chunks(points, METRICS_PER_BATCH):
            self._client.log_batch(self._run_id, metrics=chunk)
        for sample in delivery.samples:
            self._client.log_artifact(self._run_id, str(sample.path), "samples")
        if delivery.ended:
            self._client.set_terminated(self._run_id, "FINISHED")

    def display(self, facts: Facts, changes: Changes) -> None:
        from mlflow.entities import RunTag

        for attachment in changes.attachments:
            self._client.log_text(self._run_id, attachment.text, attachment.name)
        if facts.datasets:
            self._client.log_inputs(self._run_id, datasets=[_input(each) for each in facts.datasets])
        description = describe(facts, _Links(self._client, self._run_id))
        tags = {**facts.tags, **facts.standing, NOTE: description}
        # The description last: it links what was delivered before.
        values = [RunTag(key, value[:TAG_CHARS]) for key, value in tags.items()]
        self._client.log_batch(self._run_id, tags=values)

    def close(self, outcome: Outcome) -> None:
        if outcome != "finished":
            status = {"failed": "FAILED", "interrupted": "KILLED"}[outcome]
            self._client.set_terminated(self._run_id, status)

    def _create(self, run: TrackedRun) -> str:
        experiment = self._client.get_experiment_by_name(run.experiment)
        if experiment is None:
            identifier = self._client.create_experiment(
                run.experiment, artifact_location=artifact_location(self._uri)
            )
        else:
            identifier = experiment.experiment_id
        tags = {
            "animatic.run": run.id,
            "animatic.kind": run.kind,
            "animatic.folder": str(run.folder.resolve()),
        }
        return self._client.create_run(identifier, run_name=run.name, tags=tags).info.run_id


class _Links:
    """Addresses in MLflow's pages, relative to wherever they are served."""

    def __init__(self, client: MlflowClient, run_id: str) -> None:
        self._client, self._run_id = client, run_id
        self._experiment = client.get_run(run_id).info.experiment_id

    def run_with_bundle(self, bundle: str) -> str | None:
        """The newest run that produced the bundle, in any experiment."""
        experiments = [each.experiment_id for each in self._client.search_experiments()]
        found = self._client.search_runs(experiments, f"tags.`bundle.id` = '{bundle}'", max_results=1)
        return f"#/experiments/{found[0].info.experiment_id}/runs/{found[0].info.run_id}" if found else None

    def file(self, name: str) -> str | None:
        """The run's page with this file opened."""
        return f"#/experiments/{self._experiment}/runs/{self._run_id}/artifacts/{name}"


def _input(dataset: UsedDataset) -> DatasetInput:
    """A dataset in MLflow's list of inputs, which keeps the first digits of a digest only."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    source = scheme_of(dataset.location) if is_url(dataset.location) else "local"
    profile = json.dumps({"clips": dataset.clips, "digest": dataset.digest})
    described = Dataset(
        name=dataset.name,
        digest=dataset.digest[:DIGEST_CHARS],
        source_type=source,
        source=json.dumps({"uri": dataset.location}),
        profile=profile,
    )
    return DatasetInput(described, [InputTag("mlflow.data.context", "training")])


def _chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
