"""All bundles that are known: those of the ledger, those in the workspace, those that runs wrote."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from core.errors import AnimaticError
from core.files import sha256
from models.bundle import INFO, BundleInfo, read_info
from orchestration.lineage.content import WorkspaceContent
from orchestration.lineage.run_index import RunIndex
from orchestration.lineage.runs import RecordedRun
from orchestration.registry import History


@dataclass(frozen=True)
class KnownBundle:
    """A bundle, of which no more than the id may be left.

    Attributes:
        folder, info: None if it is in none of its folders any more.
        run: that wrote it; None if its folder is not in the workspace.
    """

    id: str
    title: str
    folder: Path | None
    info: BundleInfo | None
    run: RecordedRun | None


def known_bundles(history: History, content: WorkspaceContent, runs: RunIndex) -> dict[str, KnownBundle]:
    """By id; the files of bundles are not verified."""
    folders = [*content.bundles, *(run.folder.bundle for run in runs.runs)]
    titles: dict[str, str] = {}
    for entry in history.entries():
        titles.setdefault(entry.bundle_id, f"stage {entry.stage}, {entry.preset}")
        folders.append(history.path_of(entry))
    found: dict[str, KnownBundle] = {}
    for folder in dict.fromkeys(folders):
        if not (folder / INFO).is_file():
            continue
        bundle_id, info = sha256(folder / INFO), _description(folder)
        if bundle_id not in found and info is not None:
            run, title = runs.of_bundle(bundle_id, folder), f"stage {info.stage}, {info.preset}"
            found[bundle_id] = KnownBundle(bundle_id, title, folder, info, run)
    written = {bundle_id: "bundle" for run in runs.runs for bundle_id in sorted(run.bundle_ids)}
    for bundle_id, title in {**written, **titles}.items():
        if bundle_id not in found:
            found[bundle_id] = KnownBundle(bundle_id, title, None, None, runs.of_bundle(bundle_id, None))
    return found


def _description(folder: Path) -> BundleInfo | None:
    try:
        return read_info(folder / INFO)
    except (AnimaticError, OSError):
        return None
