"""The evaluation reports of a bundle in the workspace."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

from core.errors import AnimaticError
from models.bundle import Bundle
from orchestration.registry import Ledger
from orchestration.workspace import Workspace, display_path
from pipelines.evaluate import REPORT, EvaluationReport, read_report

EVALUATIONS = "evaluations"


def reports_of(bundle_id: str, workspace: Workspace) -> list[Path]:
    """The reports of a bundle below ``runs/evaluations``, the newest first; their content is not verified."""
    found = [path for path in (workspace.root / EVALUATIONS).glob(f"*/{REPORT}") if _names(path, bundle_id)]
    return sorted(found, key=lambda path: (-path.stat().st_mtime_ns, path))


def newest_report(bundle_id: str, workspace: Workspace, name: str) -> Path:
    """The newest report of a bundle. Raises AnimaticError if there is none, with the command that makes one.

    ``name``: what ``--bundle`` finds the bundle by, see :func:`name_of`.
    """
    found = reports_of(bundle_id, workspace)
    if not found:
        raise AnimaticError(
            f"bundle {bundle_id[:12]} has no report in {workspace.root / EVALUATIONS}: run `animatic "
            f"evaluate DATA --bundle {name}` on held-out clips, or name one with --report"
        )
    return found[0]


def name_of(bundle: Bundle, ledger: Ledger) -> str:
    """What a command finds a bundle by: the beginning of its id, or its folder if the ledger lacks it."""
    if ledger.accepted(bundle.id) is not None:
        return bundle.id[:12]
    return shlex.quote(display_path(bundle.folder))


def report_of(path: Path, bundle_id: str, name: str | None = None) -> EvaluationReport:
    """A verified report of this bundle; ``name`` as of :func:`newest_report`, its id if None.

    Raises AnimaticError for a report that is missing, damaged or edited, or of something else.
    """
    report = read_report(path)
    system = report["system"]
    if (system["kind"], system["digest"]) != ("bundle", bundle_id):
        raise AnimaticError(
            f"report {display_path(path)} is of {system['kind']} {system['digest'][:12]}, not of bundle "
            f"{bundle_id[:12]}: name a report of that bundle, or run `animatic evaluate DATA --bundle "
            f"{name or bundle_id[:12]}`"
        )
    return report


def _names(path: Path, bundle_id: str) -> bool:
    """Whether a report is of this bundle, by its content or, if that is damaged, by its folder's name: then
    reading it fails, and no older one takes its part."""
    try:
        document = json.loads(path.read_bytes())
        return bool(document["system"]["digest"] == bundle_id)
    except (ValueError, LookupError, TypeError, RecursionError):
        return path.parent.name.startswith(bundle_id[:12])
