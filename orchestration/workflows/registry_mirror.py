"""Rebuild MLflow's model registry from the ledger."""

from __future__ import annotations

from dataclasses import dataclass

from orchestration import registry
from orchestration.workflows.absolute_paths import absolute_tracker
from orchestration.workspace import Workspace


@dataclass(frozen=True)
class MirrorOptions:
    """``mlflow_uri``: the only store to rebuild; those of all bundles with an alias if None."""

    mlflow_uri: str | None = None


def mirror_registry(options: MirrorOptions, workspace: Workspace) -> list[registry.MirroredStore]:
    """Make MLflow's registry what the ledger records, whatever it was; what each store lacked.

    Raises:
        AnimaticError: the ledger is damaged, or a store does not answer or refuses, after all others were
            rebuilt.
    """
    uri = absolute_tracker(options.mlflow_uri)
    return registry.mirror_ledger(workspace.ledger, workspace.mlflow_uri, uri)
