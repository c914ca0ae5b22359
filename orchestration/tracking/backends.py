"""MLflow and W&B behind one small interface. Every call here may raise; the mirror contains it."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar

from orchestration.tracking.run import Delivery, SampleFile, TrackedRun

if TYPE_CHECKING:
    import wandb
    from mlflow import MlflowClient

# Two threads that import large packages with shared dependencies for the first time can see partly
# initialised modules.
_IMPORTS = threading.Lock()
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
    """A tracker as the destination of journal lines, used from one thread."""

    name: str
    target: str

    def open(self, run: TrackedRun, known_id: str | None) -> str:
        """Connect, and find or create the run there; returns the tracker's id of it."""

    def describe(self, run: TrackedRun) -> None:
        """Send the resolved configuration (once per run)."""

    def deliver(self, delivery: Delivery) -> None:
        """Send a batch, in order."""

    def close(self, outcome: Outcome) -> None:
        """Mark how the run ended and disconnect."""


def mlflow_client(uri: str) -> MlflowClient:
    """A client of an MLflow store and its registry that gives up on a dead server in seconds."""
    # The default of 7 retries with backoff blocks for four minutes.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    with _IMPORTS:
        from mlflow import MlflowClient
    for noisy in ("mlflow", "alembic"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


class MlflowBackend:
    """Mirrors to an MLflow store: a ``sqlite:///`` file (artifacts beside it) or a server's URL."""

    name = "mlflow"

    def __init__(self, uri: str) -> None:
        self.target = uri

    def open(self, run: TrackedRun, known_id: str | None) -> str:
        self._client = mlflow_client(self.target)
        self._run_id = known_id or self._find(run) or self._create(run)
        return self._run_id

    def describe(self, run: TrackedRun) -> None:
        from mlflow.entities import Param

        parameters = [Param(key, value[:MLFLOW_PARAM_CHARS]) for key, value in run.parameters().items()]
        for chunk in _chunks(parameters, MLFLOW_PARAMS_PER_BATCH):
            self._client.log_batch(self._run_id, params=chunk)
        config = run.folder / "config.yaml"
        if config.exists():
            self._client.log_artifact(self._run_id, str(config))

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

    def _find(self, run: TrackedRun) -> str | None:
        experiment = self._client.get_experiment_by_name(run.project)
        if experiment is None:
            return None
        known = self._client.search_runs(
            [experiment.experiment_id], filter_string=f"tags.`animatic.run` = '{run.id}'", max_results=1
        )
        return known[0].info.run_id if known else None

    def _create(self, run: TrackedRun) -> str:
        experiment = self._client.get_experiment_by_name(run.project)
        if experiment is None:
            identifier = self._client.create_experiment(run.project, artifact_location=self._artifacts())
        else:
            identifier = experiment.experiment_id
        tags = {
            "animatic.run": run.id,
            "animatic.kind": run.kind,
            "animatic.folder": str(run.folder.resolve()),
        }
        return self._client.create_run(identifier, run_name=run.name, tags=tags).info.run_id

    def _artifacts(self) -> str | None:
        """A folder beside a local store; a server decides for itself."""
        prefix = "sqlite:///"
        if not self.target.startswith(prefix):
            return None
        return (Path(self.target.removeprefix(prefix)).resolve().parent / "mlartifacts").as_uri()


class WandbBackend:
    """Mirrors to W&B; offline by default, with all its files under the run folder."""

    name = "wandb"

    def __init__(self, mode: Literal["online", "offline"], project: str) -> None:
        self.target = f"{mode}:{project}"
        self._mode = mode

    def open(self, run: TrackedRun, known_id: str | None) -> str:
        with _IMPORTS:
            import wandb
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
        return str(self._run.id)

    def describe(self, run: TrackedRun) -> None:
        self._run.config.update(run.config(), allow_val_change=True)

    def deliver(self, delivery: Delivery) -> None:
        by_step: dict[int, dict[str, object]] = {}
        for point in delivery.points:
            by_step.setdefault(point.step, {})[point.key] = point.value
        for sample in delivery.samples:
            by_step.setdefault(sample.step, {})[f"samples/{sample.path.stem}"] = _media(sample)
        for step in sorted(by_step):
            self._run.log({"step": step, **by_step[step]})
        if delivery.tags:
            self._run.summary.update(delivery.tags)

    def close(self, outcome: Outcome) -> None:
        self._run.finish(exit_code=0 if outcome == "finished" else 1)


def _media(sample: SampleFile) -> wandb.Image | wandb.Video:
    import wandb

    kind = VIDEO_SUFFIXES.get(sample.path.suffix)
    if kind is None:
        return wandb.Image(str(sample.path), caption=sample.prompt)
    return wandb.Video(str(sample.path), caption=sample.prompt, format=kind)


def _chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
