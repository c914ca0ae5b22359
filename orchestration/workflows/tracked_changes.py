"""A change of the ledger at the trackers: MLflow's registry, and the pages of the runs that it concerns."""

from __future__ import annotations

from core.errors import AnimaticError
from orchestration import registry
from orchestration.workflows.sync import display_bundle
from orchestration.workspace import Workspace

# With the bundle that got an alias change the one that lost it, and the one that is no longer "previous".
_CONCERNED = 4


def follow_change(entry: registry.Entry, workspace: Workspace) -> str | None:
    """Bring the trackers up to date with a new entry; a warning if one could not be.

    The entry is recorded already: nothing that fails here undoes it.
    """
    warnings = [registry.mirror_change(workspace.ledger, workspace.mlflow_uri, entry)]
    try:
        snapshot = workspace.ledger.snapshot()
    except AnimaticError as error:  # a store that does not answer any more
        return "; ".join(filter(None, (*warnings, f"the pages of runs are not up to date: {error}")))
    moved = [each for each in snapshot.entries() if each.preset == entry.preset and each.kind != "accepted"]
    concerned = list(dict.fromkeys(each.bundle_id for each in reversed(moved)))[:_CONCERNED]
    for bundle_id in concerned:
        for folder in snapshot.folders_of(bundle_id)[:1]:
            try:
                warnings += display_bundle(folder, workspace)
            except AnimaticError as error:
                warnings.append(f"the page of its run is not up to date: {error}")
    return "; ".join(warning for warning in warnings if warning) or None
