"""The observers of a job: of an ingest, behind the one progress callback that it calls, and of training."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from core.disk_errors import usable_folder
from core.errors import AnimaticError
from orchestration.workspace import Workspace

if TYPE_CHECKING:
    from pathlib import Path

    from orchestration.monitoring.training_state import StateRecorder
    from pipelines.ingest import IngestProgress
    from training.config import RunConfig

IngestObserver = Callable[["IngestProgress"], None]


@dataclass(frozen=True)
class MonitoringOptions:
    """Observers besides the caller's own callback.

    ``metrics_port``: serve Prometheus here (0: a free port); ``track``: make the job a run of the tracker;
    ``mlflow_uri``: the workspace's own store if None.
    """

    metrics_port: int | None = None
    track: bool = True
    mlflow_uri: str | None = None


@dataclass(frozen=True)
class MetricsOptions:
    """``port``: serve Prometheus here (0: a free port); ``on_message`` receives a line with the address."""

    port: int
    on_message: Callable[[str], None]


@dataclass(frozen=True)
class IngestJob:
    """The observed job as the tracker records it: verb, dataset (folder or URL) and settings."""

    verb: str
    dataset: str
    settings: Mapping[str, object] = field(default_factory=dict)


@contextmanager
def served_training(
    config: RunConfig, run_dir: Path, options: MetricsOptions | None
) -> Iterator[StateRecorder | None]:
    """What Prometheus reads of a run, until the block ends; None without options.

    Raises:
        AnimaticError: the port of the metrics is in use.
    """
    if options is None:
        yield None
        return
    from orchestration.monitoring.prometheus import MetricsServer
    from orchestration.monitoring.training_metrics import TRAINING
    from orchestration.monitoring.training_state import RunDescription, StateRecorder

    with MetricsServer(options.port, TRAINING) as server:
        options.on_message(server.address)
        yield StateRecorder(RunDescription.of(config, run_dir), server)


@contextmanager
def observe_ingest(
    job: IngestJob,
    options: MonitoringOptions,
    workspace: Workspace,
    on_progress: IngestObserver,
    on_message: Callable[[str], None],
) -> Iterator[IngestObserver]:
    """One callback that notifies ``on_progress``, Prometheus and the tracker.

    ``on_message`` receives the address of the metrics, and a line if the tracker lacks something at the end.
    A job without any progress leaves no run behind.

    Raises:
        AnimaticError: the port of the metrics is in use.
    """
    with ExitStack() as stack:
        observers: list[IngestObserver] = []
        if options.metrics_port is not None:
            from orchestration.monitoring.ingest_metrics import INGEST
            from orchestration.monitoring.prometheus import MetricsServer

            server = stack.enter_context(MetricsServer(options.metrics_port, INGEST))
            on_message(server.address)
            observers.append(server)
        if options.track:
            observers.append(stack.enter_context(_tracked(job, workspace, options.mlflow_uri, on_message)))
        observers.append(on_progress)

        def notify(state: IngestProgress) -> None:
            for observer in observers:
                observer(state)

        yield notify


@contextmanager
def _tracked(
    job: IngestJob, workspace: Workspace, mlflow_uri: str | None, on_message: Callable[[str], None]
) -> Iterator[IngestObserver]:
    """Starts a run with the first state, and ends it as the job ends.

    What goes wrong with it switches it off and leaves the job alone; a folder for runs that cannot be written
    to is reported before the job begins.
    """
    with ExitStack() as run:
        writers: list[IngestObserver] = []
        failed = False

        @contextmanager
        def contained() -> Iterator[None]:
            nonlocal failed
            try:
                yield
            except (AnimaticError, OSError) as error:
                if not failed:
                    on_message(f"this job is not tracked any more: {error}")
                failed = True

        def notify(state: IngestProgress) -> None:
            if failed:
                return
            with contained():
                if not writers:
                    writers.append(run.enter_context(_run(job, workspace, mlflow_uri, on_message)))
                writers[0](state)

        with contained():
            usable_folder(workspace.root)
        try:
            yield notify
        except BaseException as error:
            with contained():
                run.__exit__(type(error), error, error.__traceback__)
            raise
        with contained():
            run.close()


def _run(
    job: IngestJob, workspace: Workspace, mlflow_uri: str | None, on_message: Callable[[str], None]
) -> AbstractContextManager[IngestObserver]:
    from orchestration.monitoring.ingest_run import ingest_run, run_folder

    folder = run_folder(workspace.root / "ingest", job.verb, job.dataset)
    settings = {"dataset": job.dataset, **job.settings}
    return ingest_run(folder, settings, mlflow_uri, workspace.mlflow_uri, on_message)
