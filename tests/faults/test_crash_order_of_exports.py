"""An export that stops at any of its writes leaves what was visible before, and continues without waste."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from core.storage import Folder
from models.bundle import open_bundle
from orchestration.export import marks
from orchestration.workspace import Workspace
from tests.support.exports import champion, export_to, visible
from tests.support.recorded_files import CrashError, recorded_files
from tests.support.recorded_store import empty_store, recorded_store

URL = "recorded://bucket/serving"
DOCUMENTS = {"README.md", "evaluation.json", "gate.json", "lineage.json"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace whose first champion was exported to ``serving``; the second one was not."""
    folder = tmp_path_factory.mktemp("made")
    workspace = champion(folder)
    export_to(folder / "serving", workspace)
    champion(folder, seed=1)
    return folder


@pytest.fixture
def workspace(made: Path, tmp_path: Path) -> Workspace:
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return Workspace(tmp_path / "runs")


@contextmanager
def dying() -> Iterator[None]:
    """This process is recorded as another one of its id: those that look for it later find that it ended."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(marks, "process_identity", lambda process: f"earlier {process}")
        yield


def bundle_ids(workspace: Workspace) -> list[str]:
    return [open_bundle(workspace.root / f"bundle-{seed}").id for seed in (0, 1)]


def copy_to_store(folder: Path) -> None:
    with recorded_store():
        empty_store()
        for path in folder.rglob("*"):
            if path.is_file():
                Folder(URL).store(path.relative_to(folder).as_posix(), path)


def test_documents_come_first_then_the_manifest_then_the_bundle_and_the_pointer_last(
    workspace: Workspace,
) -> None:
    with recorded_store() as calls:
        empty_store()
        export = export_to(URL, workspace).published.export.folder
        put = [call.removeprefix("put bucket/serving/").removeprefix(f"{export}/") for call in calls]
    assert put[0].startswith(".writing-")
    assert {*put[1:5]} == DOCUMENTS
    assert put[5] == "export.json"
    assert put[6:-2] == [
        "bundle/README.md",
        "bundle/bundle.json",
        "bundle/model.safetensors",
        "parts/codec.safetensors",
    ]
    assert put[-2] == "champion.json"
    assert put[-1].startswith("remove bucket/serving/")
    empty_store()


def test_an_export_to_a_disk_is_durable_before_its_pointer_is(workspace: Workspace, tmp_path: Path) -> None:
    with recorded_files(tmp_path / "serving") as record:
        export_to(tmp_path / "serving", workspace)
    assert record.unsynced == []
    assert [call for call in record.undurable if ".scratch" not in call] == []
    changes = [call for call in record.calls if call.startswith("rename")]
    assert changes[-1] == "rename champion.part -> champion.json"


@pytest.mark.parametrize("crash_at", range(13))
def test_a_crash_at_any_moment_leaves_a_whole_export_visible(
    workspace: Workspace, tmp_path: Path, crash_at: int
) -> None:
    first, second = bundle_ids(workspace)
    copy_to_store(tmp_path / "serving")
    stored: set[str] = set()
    try:
        with dying(), recorded_store(crash_at) as calls:
            export_to(URL, workspace)
    except CrashError:
        stored = {call.split("/", 4)[-1] for call in calls if call.startswith("put")}
        pointed = "put bucket/serving/champion.json" in calls
        assert visible(URL, tmp_path / "cache") == (second if pointed else first)
    else:
        assert crash_at == 12
    with recorded_store():
        again = export_to(URL, workspace)
        assert visible(URL, tmp_path / "cache") == second
        # Documents that were stored without the manifest are written again: they may differ by then.
        wasted = {*again.published.copied.names} & stored
        assert wasted <= (set() if "export.json" in stored else DOCUMENTS)
        export = again.published.export.folder
        assert not [name for name in Folder(URL).tree(export) if ".writing-" in name]
        empty_store()


@pytest.mark.slow
@pytest.mark.parametrize("crash_at", range(24))
def test_a_crash_at_any_moment_leaves_a_whole_export_visible_on_a_disk(
    workspace: Workspace, tmp_path: Path, crash_at: int
) -> None:
    ids = bundle_ids(workspace)
    try:
        with dying(), recorded_files(tmp_path / "serving", crash_at):
            export_to(tmp_path / "serving", workspace)
    except CrashError:
        assert visible(tmp_path / "serving", tmp_path / "cache") in ids
    export_to(tmp_path / "serving", workspace)
    assert visible(tmp_path / "serving", tmp_path / "cache") == ids[1]
    left = [path.name for path in (tmp_path / "serving").rglob("*")]
    assert not [name for name in left if ".part-" in name or name == ".scratch"]
