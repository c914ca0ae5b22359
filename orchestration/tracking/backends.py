"""MLflow and W&B behind one small interface. Every call here may raise; the mirror contains it."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar

from core.urls import without_credentials
from orchestration.tracking.mlflow_store import (
    IMPORTS,
    artifact_location,
    find_run,
    mlflow_client,
    relocate_artifacts,
)
from orchestration.tracking.run import Delivery, SampleFile, TrackedRun

if TYPE_CHECKING:
    import wandb

MLFLOW_METRICS_PER_BATCH = 1000
MLFLOW_PARAMS_PER_BATCH = 100
MLFLOW_PARAM_CHARS = 6000
VIDEO_SUFFIXES = {".mp4": "mp4", ".webm": "webm", ".gif": "gif"}
Outcome = Literal["finished", "failed", "interrupted"]
T = TypeVar("T")


def backends_for(mlflow_uri: str, wandb_mode: str, project: str) -> list[Backend]:
    """The trackers that a configuration asks for."""
    backends: list[Backend] = [MlflowBackend(mlflow_uri)]
    if wandb_mode in ("online", "offline"):
        backends.append(WandbBackend("online" if wandb_mode == "online" else "offline", project))
    return backends


class Backend(Protocol):
    """A tracker as the destination of journal lines, used from one thread.

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

    def close(self, outcome: Outcome) -> None:
        """Mark how the run ended and disconnect."""


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

        parameters = [Param(key, value[:MLFLOW_PARAM_CHARS]) for key, value in run.parameters().items()]
        for chunk in _chunks(parameters, MLFLOW_PARAMS_PER_BATCH):
            self._client.log_batch(self._run_id, params=chunk)
        if (run.folder / "config.yaml").exists():
            self._client.log_text(self._run_id, run.config_text(), "config.yaml")

    def deliver(self, delivery: Delivery) -> None:
        from mlflow.entities import Metric, RunTag

        if delivery.started:
            self._client.update_run(self._run_id, status="RUNNING")
        points = [Metric(p.key, p.value, int(p.time * 1000), p.step) for p in delivery.points]
        for chunk in _chunks(points, MLFLOW_METRICS_PER_BATCH):
            self._client.log_batch(self._run_id, metrics=chunk)
        if delivery.tags:
            self._client.log_batch(self._run_id, tags=[RunTag(k, v) for k, v in delivery.tags.items()])
        for sample in delivery.samples:
            self._client.log_artifact(self._run_id, str(sample.path), "samples")
        if delivery.ended:
            self._client.set_terminated(self._run_id, "FINISHED")

    def close(self, outcome: Outcome) -> None:
        if outcome != "finished":
            status = {"failed": "FAILED", "interrupted": "KILLED"}[outcome]
            self._client.set_terminated(self._run_id, status)

    def _create(self, run: TrackedRun) -> str:
        experiment = self._client.get_experiment_by_name(run.project)
        if experiment is None:
            identifier = self._client.create_experiment(
                run.project, artifact_location=artifact_location(self._uri)
            )
        else:
            identifier = experiment.experiment_id
        tags = {
            "animatic.run": run.id,
            "animatic.kind": run.kind,
            "animatic.folder": str(run.folder.resolve()),
        }
        return self._client.create_run(identifier, run_name=run.name, tags=tags).info.run_id


class WandbBackend:
    """Mirrors to W&B; offline by default, with all its files under the run folder."""

    name, unique_ids = "wandb", False

    def __init__(self, mode: Literal["online", "offline"], project: str) -> None:
        self.target = f"{mode}:{project}"
        self._mode = mode

    def open(self, run: TrackedRun, known_id: str | None, rows: int) -> str:
        with IMPORTS:
            import wandb
        self._rows = rows
        folder = run.folder.resolve()
        # W&B stages the bytes of artifacts in its data folder, by default outside the run folder.
        os.environ["WANDB_DATA_DIR"] = str(folder / "wandb" / "data")
        (folder / "wandb" / "data").mkdir(parents=True, exist_ok=True)
        settings = wandb.Settings(
            console="off",
            silent=True,
            disable_git=True,
            disable_code=True,
            init_timeout=20,
            x_disable_stats=True,
            # Folders are named by the second; two of one run would be one, with the rows of the second.
            x_sync_dir_suffix=uuid.uuid4().hex[:4],
        )
        self._run = wandb.init(
            project=run.project,
            id=known_id or run.id,
            name=run.name,
            dir=str(folder),
            mode=self._mode,
            reinit="create_new",
            resume="allow" if self._mode == "online" else None,
            settings=settings,
        )
        # A replay after an interruption repeats steps; W&B's own counter would drop those silently.
        self._run.define_metric("step", hidden=True)
        self._run.define_metric("*", step_metric="step")
        self._describe(run)
        return str(self._run.id)

    def describe(self, run: TrackedRun) -> None:
        self._describe(run)

    def _describe(self, run: TrackedRun) -> None:
        self._run.config.update(dict(run.config()), allow_val_change=True)

    def deliver(self, delivery: Delivery) -> None:
        by_step: dict[int, dict[str, object]] = {}
        for point in delivery.points:
            by_step.setdefault(point.step, {})[point.key] = point.value
        for sample in delivery.samples:
            by_step.setdefault(sample.step, {})[f"samples/{sample.path.stem}"] = _media(sample)
        for step in sorted(by_step):
            # An interrupted run has several files, which W&B joins by this number.
            self._run.log({"step": step, **by_step[step]}, step=self._rows)
            self._rows += 1
        if delivery.tags:
            self._run.summary.update(delivery.tags)

    def close(self, outcome: Outcome) -> None:
        import wandb

        try:
            self._run.finish(exit_code=0 if outcome == "finished" else 1)
        except ConnectionError:
            # W&B's own process has ended, as where a job's processes all get SIGTERM. Its hook at the end of
            # this process would fail with a traceback.
            with contextlib.suppress(ConnectionError):
                wandb.teardown(exit_code=1)
            raise


def _media(sample: SampleFile) -> wandb.Image | wandb.Video:
    import wandb

    kind = VIDEO_SUFFIXES.get(sample.path.suffix)
    if kind is None:
        return wandb.Image(str(sample.path), caption=sample.prompt)
    return wandb.Video(str(sample.path), caption=sample.prompt, format=kind)


def _chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
