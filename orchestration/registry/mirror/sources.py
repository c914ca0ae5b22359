"""Where MLflow finds a bundle's files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from orchestration.registry.mirror.reconcile import Source
from orchestration.registry.mirror.state import VersionState
from orchestration.tracking import TrackedRun, find_run, is_local, recorded_tracking
from training.run_folder import RunFolder

if TYPE_CHECKING:
    from mlflow import MlflowClient

_BUNDLE_RUN = "animatic.bundle"


def tracking_folder(folder: Path) -> Path:
    """The folder whose ``config.yaml`` records the trackers of a bundle: that of its run, or its own."""
    return run_of(folder) or folder


def run_of(folder: Path) -> Path | None:
    """The run folder that a bundle's folder is in; None for one without a run, or on another machine."""
    return folder.parent if RunFolder(folder.parent).journal.is_file() else None


class Sources:
    """Sources of versions in the store at ``uri``.

    Servers refuse the paths of local folders. A bundle without a run there, as an imported one or one of
    another machine, gets a run that records its folder.
    """

    def __init__(self, client: MlflowClient, uri: str) -> None:
        self._client, self._uri = client, uri

    def __call__(self, version: VersionState) -> Source:
        """Raises MlflowException, or AnimaticError where the run's configuration cannot be read."""
        folder = version.folder
        if is_local(self._uri):
            return Source(folder.resolve().as_uri())
        run = run_of(folder)
        project = recorded_tracking(tracking_folder(folder), self._uri).project
        found = find_run(self._client, TrackedRun.of(run, project)) if run is not None else None
        found = found or self._bundle_run(version, project)
        return Source(f"runs:/{found}/bundle", found)

    def _bundle_run(self, version: VersionState, project: str) -> str:
        experiment = self._client.get_experiment_by_name(project)
        identifier = experiment.experiment_id if experiment else self._client.create_experiment(project)
        known = self._client.search_runs(
            [identifier], filter_string=f"tags.`{_BUNDLE_RUN}` = '{version.bundle_id}'", max_results=1
        )
        if known:
            return str(known[0].info.run_id)
        tags = {
            "animatic.kind": "bundle",
            "animatic.folder": str(version.folder.resolve()),
            _BUNDLE_RUN: version.bundle_id,
        }
        created = self._client.create_run(identifier, run_name=version.folder.name, tags=tags).info.run_id
        self._client.set_terminated(created)
        return str(created)
