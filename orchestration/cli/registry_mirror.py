"""`animatic registry mirror`: MLflow's registry, rebuilt from the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestration.cli.common import only_results_on_stdout, out, print_json, print_warning, short

if TYPE_CHECKING:
    from orchestration.registry import MirroredStore


def mirror(mlflow_uri: str | None, as_json: bool) -> None:
    """Rebuild the registry of one store, or of all, and print what was changed."""
    from orchestration.workflows.registry_mirror import MirrorOptions, mirror_registry
    from orchestration.workspace import Workspace

    with only_results_on_stdout():
        stores = mirror_registry(MirrorOptions(mlflow_uri), Workspace.current())
    if as_json:
        print_json({"mirrors": stores})
    for store in stores:
        if not as_json:
            _print_changes(store)
        for unknown in store.unknown:
            of = f"bundle {short(unknown.bundle_id)}" if unknown.bundle_id else "no bundle"
            print_warning(
                f"{store.target} has version {unknown.version} of {unknown.model} ({of}), which the ledger "
                "does not account for: delete it there, unless it is yours"
            )


def _print_changes(store: MirroredStore) -> None:
    for change in store.changes:
        version = f", version {change.version}" if change.version else ""
        of_bundle = change.action in ("created version", "described version")
        subject = short(change.subject) if of_bundle else change.subject
        out().print(f"{change.model}: {change.action} {subject}{version}")
    number = len(store.changes)
    changed = f"{number} {'change' if number == 1 else 'changes'}" if number else "nothing to change"
    out().print(f"{store.target} mirrors the ledger: {changed}")
