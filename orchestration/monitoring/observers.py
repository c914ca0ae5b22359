"""All who watch an ingest, behind the one callback that the job knows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rich.console import Console

from orchestration.monitoring.ingest_display import IngestDisplay
from orchestration.workspace import Workspace

if TYPE_CHECKING:
    from orchestration.monitoring.ingest_journal import JournalledIngest
    from orchestration.tracking.backends import Outcome
    from pipelines.ingest import IngestProgress


@dataclass(frozen=True)
class Watch:
    """Who watches besides the terminal. ``mlflow_uri`` None takes the workspace's own store."""

    metrics_port: int | None = None
    track: bool = True
    mlflow_uri: str | None = None


@dataclass
class Job:
    """What is watched: the verb, the dataset's place and the settings, for the tracker."""

    verb: str
    dataset: str
    settings: dict[str, Any] = field(default_factory=dict)


@contextmanager
def observe_job(job: Job, watch: Watch, console: Console) -> Iterator[Callable[[IngestProgress], None]]:
    """Show, export and journal what the job tells. A job that has nothing to do leaves no run behind.

    Raises AnimaticError if the metrics' port is taken.
    """
    with ExitStack() as stack:
        watchers: list[Callable[[IngestProgress], None]] = []
        if watch.metrics_port is not None:
            from orchestration.monitoring.prometheus import MetricsServer

            server = stack.enter_context(MetricsServer(watch.metrics_port))
            console.print(f"metrics on port {server.port}, path /metrics")
            watchers.append(server)
        if watch.track:
            watchers.append(stack.enter_context(_tracked(job, watch, console)))
        watchers.append(stack.enter_context(IngestDisplay(console, job.verb)))

        def tell(state: IngestProgress) -> None:
            for watcher in watchers:
                watcher(state)

        yield tell


@contextmanager
def _tracked(job: Job, watch: Watch, console: Console) -> Iterator[Callable[[IngestProgress], None]]:
    """Begins a run with the first state, and ends it as the job ended."""
    workspace = Workspace.current()
    runs: list[JournalledIngest] = []

    def tell(state: IngestProgress) -> None:
        if not runs:
            from orchestration.monitoring.ingest_journal import JournalledIngest, run_folder

            folder = run_folder(workspace.root / "ingest", job.verb, job.dataset)
            uri = watch.mlflow_uri or workspace.mlflow_uri
            runs.append(JournalledIngest(folder, {"dataset": job.dataset, **job.settings}, uri))
        runs[0](state)

    from orchestration.tracking import behind_remark

    outcome: Outcome = "failed"
    try:
        yield tell
        outcome = "finished"
    except KeyboardInterrupt:
        outcome = "interrupted"
        raise
    finally:
        for run in runs:
            behind = run.close(outcome)
            if behind:
                console.print(behind_remark(behind, run.folder), style="yellow")
