"""An export is copied, verified where it is, and then visible; a second one copies nothing twice."""

import json
from pathlib import Path

import pytest

from core.errors import AnimaticError
from core.storage import Folder
from models.bundle import open_bundle
from orchestration import export as exports
from orchestration import registry
from orchestration.export import Location, Pointer, list_exports, read_export
from orchestration.export.marks import Mark
from orchestration.workspace import Workspace
from tests.support.exports import champion, export_to, flip_byte, manifest_of, visible
from tests.support.small_stages import make_bundle


def kinds(workspace: Workspace) -> list[str]:
    return [entry.kind for entry in workspace.ledger.entries()]


def test_an_export_is_the_bundle_byte_for_byte_with_its_documents(
    url: str, workspace: Workspace, tmp_path: Path
) -> None:
    result = export_to(url, workspace)
    bundle, manifest, folder = open_bundle(tmp_path / "runs" / "bundle-0"), manifest_of(result), Folder(url)
    export_folder = result.published.export.folder
    for name in ("bundle.json", "model.safetensors", "README.md"):
        assert folder.read(f"{export_folder}/bundle/{name}") == (bundle.folder / name).read_bytes()
    assert {*folder.tree(export_folder)} == {*manifest.files, "export.json"}
    assert {"evaluation.json", "gate.json", "lineage.json"} <= manifest.files.keys()
    assert (manifest.gate, manifest.sampling_from) == ("PASS", "bundle")
    assert manifest.sampling == bundle.info.sampling
    report = json.loads(folder.read(f"{export_folder}/evaluation.json"))
    assert report["system"]["digest"] == bundle.id
    exported = read_export(url, "champion", to=tmp_path / "cache")
    assert exported.bundle.id == bundle.id
    assert exported.sampling == bundle.info.sampling
    entry = workspace.ledger.entries()[-1]
    assert (entry.kind, entry.bundle_id, entry.digest) == ("exported", bundle.id, exported.pointer.manifest)
    assert entry.location == f"{url}/champion.json"


def test_the_same_export_again_copies_and_records_nothing(url: str, workspace: Workspace) -> None:
    first = export_to(url, workspace)
    pointer = Folder(url).read("champion.json")
    again = export_to(url, workspace)
    assert (again.published.copied.names, again.published.changed, again.recorded) == ((), False, False)
    assert again.published.copied.kept == len(manifest_of(first).files)
    assert Folder(url).read("champion.json") == pointer
    assert kinds(workspace).count("exported") == 1


def test_an_export_follows_its_alias_and_comes_back_without_a_copy(
    url: str, workspace: Workspace, tmp_path: Path
) -> None:
    first = export_to(url, workspace)
    champion(tmp_path, seed=1)
    second = export_to(url, workspace)
    assert second.published.export.folder != first.published.export.folder
    assert visible(url, tmp_path / "cache") == open_bundle(tmp_path / "runs" / "bundle-1").id
    registry.rollback(workspace.ledger)
    third = export_to(url, workspace)
    assert (third.published.copied.names, third.published.changed, third.recorded) == ((), True, True)
    assert visible(url, tmp_path / "cache") == open_bundle(tmp_path / "runs" / "bundle-0").id
    assert kinds(workspace).count("exported") == 3


def test_a_damaged_file_is_replaced_by_the_next_export(
    url: str, workspace: Workspace, tmp_path: Path
) -> None:
    result = export_to(url, workspace)
    weights = f"{result.published.export.folder}/bundle/model.safetensors"
    flip_byte(Folder(url), weights)
    assert "does not match its recorded sha256" in list_exports(Location(url), deep=True)[0].problems[0]
    with pytest.raises(AnimaticError, match=r"model.safetensors does not match the sha256 in its manifest"):
        read_export(url, "champion", to=tmp_path / "cache")
    again = export_to(url, workspace)
    assert (again.published.copied.names, again.recorded) == (("bundle/model.safetensors",), False)
    assert visible(url, tmp_path / "cache")


def test_a_bundle_that_was_never_promoted_says_so(workspace: Workspace, tmp_path: Path) -> None:
    make_bundle(tmp_path / "other", seed=5)
    result = export_to(tmp_path / "serving", workspace, str(tmp_path / "other"))
    identifier = open_bundle(tmp_path / "other").id
    assert (manifest_of(result).gate, manifest_of(result).ledger) == (None, None)
    assert not {"gate.json", "evaluation.json"} & manifest_of(result).files.keys()
    assert result.published.pointer.alias is None
    assert result.location.endswith(f"/{identifier[:16]}.json")


def test_keep_removes_only_exports_that_no_pointer_names_and_nobody_writes(
    url: str, workspace: Workspace, tmp_path: Path
) -> None:
    folder = Folder(url)
    named = export_to(url, workspace, name="pinned").published.export.folder
    made = []
    for seed in (1, 2, 3):
        champion(tmp_path, seed=seed)
        made.append(export_to(url, workspace).published.export.folder)
    for export, year in ((made[0], 2999), (made[1], 2020)):
        mark = {"time": f"{year}-01-01T00:00:00Z", "host": "another", "process": 1}
        folder.write(f"{export}/.writing-0badc0de", json.dumps(mark).encode())
    assert exports.prune(Location(url), 2) == []
    assert exports.prune(Location(url), 0) == [made[1]]
    folder.remove(f"{made[0]}/.writing-0badc0de")
    champion(tmp_path, seed=4)
    result = export_to(url, workspace, keep=1)
    assert len(result.removed) == 1
    present = {f"exports/{name}" for name in folder.names("exports")}
    assert {named, result.published.export.folder} < present
    assert len(present) == 3


def test_an_export_that_ends_while_others_are_removed_stays(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its pointer appears, and its mark goes, between two questions of the process that removes."""
    location = Location(str(tmp_path / "serving"))
    folder = export_to(tmp_path / "serving", workspace).published.export.folder
    (tmp_path / "serving" / "champion.json").rename(tmp_path / "pointer")
    asked = exports.pruning.is_being_written

    def end_meanwhile(*arguments: object) -> bool:
        (tmp_path / "pointer").rename(tmp_path / "serving" / "champion.json")
        return asked(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(exports.pruning, "is_being_written", end_meanwhile)
    assert exports.prune(location, 0) == []
    assert location.exports() == [folder]


def test_the_mark_of_a_process_that_ended_is_left_over_and_that_of_another_container_is_not() -> None:
    own = Mark.of_this_process()
    assert not own.is_left_over()
    assert own.model_copy(update={"identity": f"{own.identity}0"}).is_left_over()
    assert own.model_copy(update={"process": 2**30}).is_left_over()
    assert not own.model_copy(update={"host": "0" * 16, "process": 2**30}).is_left_over()


def test_damaged_documents_are_not_taken_from_an_earlier_export(
    url: str, workspace: Workspace, tmp_path: Path
) -> None:
    result = export_to(url, workspace)
    flip_byte(Folder(url), f"{result.published.export.folder}/lineage.json")
    export_to(url, workspace)
    assert visible(url, tmp_path / "cache")


def test_a_pointer_is_written_as_it_is_read(workspace: Workspace, tmp_path: Path) -> None:
    result = export_to(tmp_path / "serving", workspace)
    content = (tmp_path / "serving" / "champion.json").read_bytes()
    assert Pointer.model_validate_json(content) == result.published.pointer
    assert result.published.pointer.encoded() == content
