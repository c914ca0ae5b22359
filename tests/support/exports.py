"""Exports of small bundles, and what a location then makes visible."""

from pathlib import Path

from core.storage import Folder
from models.bundle import open_bundle
from orchestration.export import Location, Manifest, list_exports, read_export
from orchestration.workflows.export import ExportOptions, ExportResult, export
from orchestration.workspace import Workspace
from tests.support.mirrors import no_mirror
from tests.support.promotions import promote
from tests.support.small_stages import make_bundle


def champion(folder: Path, seed: int = 0) -> Workspace:
    """A workspace in ``folder`` whose champion of preset tiny was made now, from this seed."""
    workspace = Workspace(folder / "runs")
    bundle = workspace.root / f"bundle-{seed}"
    make_bundle(bundle, seed=seed)
    promote(workspace.ledger, open_bundle(bundle))
    return workspace


def export_to(
    url: str | Path, workspace: Workspace, bundle: str = "champion", **options: object
) -> ExportResult:
    """Export to a location."""
    with no_mirror():
        return export(ExportOptions(bundle, str(url), **options), workspace)  # type: ignore[arg-type]


def visible(url: str | Path, cache: Path, name: str = "champion") -> str | None:
    """The id of the bundle that a name refers to, fetched and verified whole; None if it does not exist."""
    location = Location(str(url))
    if location.pointer(name) is None:
        return None
    assert [listed.problems for listed in list_exports(location, deep=True)] == [[]] * len(location.names())
    return read_export(str(url), name, to=cache).bundle.id


def manifest_of(result: ExportResult) -> Manifest:
    """The manifest of an export."""
    return result.published.export.manifest


def flip_byte(folder: Folder, name: str) -> None:
    """Change one bit of a file."""
    content = bytearray(folder.read(name))
    content[len(content) // 2] ^= 1
    folder.write(name, bytes(content))
