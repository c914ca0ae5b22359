"""What cannot be exported, or was overtaken: one line, and nothing visible."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from core.errors import AnimaticError
from core.storage import Folder
from models.bundle import open_bundle
from orchestration import export as exports
from orchestration import registry
from orchestration.export import Location, list_exports
from orchestration.workflows.export import ExportOptions, export
from orchestration.workspace import Workspace
from tests.support.exports import champion, export_to, flip_byte, visible
from tests.support.recorded_store import empty_store, recorded_store
from tests.support.small_stages import make_bundle

Step = Callable[..., object]


def followed_by(step: Step, event: Callable[[], object]) -> Step:
    """A step of an export after which something happens."""

    def both(*arguments: object) -> object:
        done = step(*arguments)
        event()
        return done

    return both


def kinds(workspace: Workspace) -> list[str]:
    return [entry.kind for entry in workspace.ledger.entries()]


def test_an_alias_that_moved_during_the_copy_is_noticed_before_anything_is_visible(
    url: str, workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = followed_by(exports.publishing.copy_export, lambda: champion(tmp_path, seed=1))
    monkeypatch.setattr(exports.publishing, "copy_export", copy)
    with pytest.raises(AnimaticError, match=r"the champion of preset tiny is bundle \w{12} .* by now"):
        export_to(url, workspace)
    assert Folder(url).sizes().keys() <= {".lock"}
    assert "exported" not in kinds(workspace)


def test_a_visible_export_is_recorded_whatever_became_of_its_bundle_at_the_last_moment(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    point = exports.publishing._point

    def withdraw_meanwhile(*arguments: object) -> object:
        done = point(*arguments)  # type: ignore[arg-type]
        known = workspace.ledger.champion("tiny")
        assert known is not None
        registry.withdraw(workspace.ledger, known, "licence", force=True)
        return done

    monkeypatch.setattr(exports.publishing, "_point", withdraw_meanwhile)
    with pytest.raises(
        AnimaticError, match=r"names bundle \w{12}, which the ledger records, but .*withdrawn"
    ):
        export_to(tmp_path / "serving", workspace)
    assert (tmp_path / "serving" / "champion.json").is_file()
    assert kinds(workspace)[-2:] == ["withdrawn", "exported"]


def test_a_withdrawn_bundle_is_not_exported(workspace: Workspace, tmp_path: Path) -> None:
    make_bundle(tmp_path / "other", seed=5)
    other = open_bundle(tmp_path / "other")
    known = registry.accept(workspace.ledger, other)
    registry.withdraw(workspace.ledger, known, "made from the wrong data")
    with pytest.raises(AnimaticError, match=r"was withdrawn from use .* cannot be exported"):
        export_to(tmp_path / "serving", workspace, str(tmp_path / "other"))
    assert not (tmp_path / "serving").exists()


@pytest.mark.parametrize(
    ("step", "message", "recorded"),
    [
        ("copy_export", r"^bundle \w{12} was withdrawn .* cannot be exported", False),
        ("_point", r"names bundle \w{12}, which the ledger records, but meanwhile .* was withdrawn", True),
    ],
)
def test_a_bundle_that_is_withdrawn_during_its_export_is_reported(
    workspace: Workspace,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    message: str,
    recorded: bool,
) -> None:
    make_bundle(tmp_path / "other", seed=5)
    known = registry.accept(workspace.ledger, open_bundle(tmp_path / "other"))
    withdraw = followed_by(
        getattr(exports.publishing, step),
        lambda: registry.withdraw(workspace.ledger, known, "made from the wrong data"),
    )
    monkeypatch.setattr(exports.publishing, step, withdraw)
    with pytest.raises(AnimaticError, match=message):
        export_to(tmp_path / "serving", workspace, str(tmp_path / "other"))
    assert bool(Location(str(tmp_path / "serving")).names()) == recorded
    assert ("exported" in kinds(workspace)) == recorded


def test_a_file_that_is_removed_during_the_export_is_missed(
    url: str, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def remove() -> None:
        (export,) = Location(url).exports()
        Folder(url).remove(f"{export}/bundle/model.safetensors")

    copy = followed_by(exports.publishing.copy_export, remove)
    monkeypatch.setattr(exports.publishing, "copy_export", copy)
    with pytest.raises(AnimaticError, match=r"model.safetensors is missing: it was removed while"):
        export_to(url, workspace)
    assert Location(url).names() == []


def test_a_store_that_returns_other_bytes_than_it_got_is_noticed(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Folder.store

    def damaging(folder: Folder, name: str, path: Path) -> None:
        store(folder, name, path)
        if name.endswith("model.safetensors"):
            flip_byte(folder, name)

    monkeypatch.setattr(Folder, "store", damaging)
    with pytest.raises(AnimaticError, match=r"model.safetensors does not contain what was written"):
        export_to(tmp_path / "serving", workspace)
    assert Location(str(tmp_path / "serving")).names() == []


@pytest.mark.parametrize("name", ["dynamicrafter", "diffusers"])
def test_a_format_that_a_bundle_cannot_have_is_refused_before_anything_is_copied(
    workspace: Workspace, tmp_path: Path, name: str
) -> None:
    with pytest.raises(AnimaticError, match=f"cannot be written as {name}: .*codec is conv"):
        export_to(tmp_path / "serving", workspace, formats=(name,))
    assert not (tmp_path / "serving").exists()


def test_where_and_what_cannot_be_exported_is_one_line_each(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "other" / "exports").mkdir(parents=True)
    (tmp_path / "other" / "champion.json").write_text('{"fps": 8}')
    make_bundle(tmp_path / "wide", preset="512")
    inside = tmp_path / "link"
    inside.symlink_to(tmp_path / "runs" / "bundle-0")
    make_bundle(tmp_path / "early", stage=1)
    for to, bundle, options, message in (
        (tmp_path / "runs" / "bundle-0" / "x", "champion", {}, "is inside of the bundle that is exported"),
        (inside, "champion", {}, "is inside of the bundle that is exported"),
        (tmp_path / "file", "champion", {}, "is a file: name a folder"),
        ("https://example.org/x", "champion", {}, "nothing can be written to"),
        (tmp_path / "other", "champion", {}, "champion.json is not the pointer of an export"),
        (tmp_path / "x", "champion", {"name": "../x"}, "cannot be the name of an export"),
        (tmp_path / "x", "champion", {"formats": ("diffuser",)}, "did you mean 'diffusers'"),
        (tmp_path / "x", str(tmp_path / "early"), {}, "is of stage 1 and cannot animate"),
        (tmp_path / "x", "champion", {"encoders": tmp_path / "clip"}, "--encoders is without effect"),
        (tmp_path / "x", "challenger", {}, "has no challenger"),
    ):
        with pytest.raises(AnimaticError, match=message) as caught:
            export_to(to, workspace, bundle, **options)
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "x").exists()
    export_to(tmp_path / "serving", workspace)
    with pytest.raises(AnimaticError, match=r"is of preset tiny, and the bundle is of preset 512: choose"):
        export_to(tmp_path / "serving", workspace, str(tmp_path / "wide"), name="champion")


def test_a_ledger_that_cannot_be_written_is_an_error_and_the_rerun_records(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise AnimaticError("the ledger does not answer")

    with monkeypatch.context() as patch:
        patch.setattr(registry.Ledger, "update", fail)
        with pytest.raises(AnimaticError, match=r"was written, but the ledger does not record it"):
            export_to(tmp_path / "serving", workspace)
    assert "exported" not in kinds(workspace)
    again = export_to(tmp_path / "serving", workspace)
    assert (again.published.copied.names, again.recorded) == ((), True)


def test_two_exports_at_once_of_one_name_do_not_mix(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second begins and ends while the first is about to write its pointer."""
    make_bundle(tmp_path / "other", seed=5)
    other = ExportOptions(str(tmp_path / "other"), "recorded://bucket/serving", name="champion")
    point = exports.publishing._point

    def overtaken(*arguments: object) -> object:
        monkeypatch.setattr(exports.publishing, "_point", point)
        export(other, workspace)
        return point(*arguments)  # type: ignore[arg-type]

    with recorded_store():
        monkeypatch.setattr(exports.publishing, "_point", overtaken)
        with pytest.raises(AnimaticError, match=r"champion.json was set to bundle \w{12} .* nothing of this"):
            export_to("recorded://bucket/serving", workspace)
        assert visible("recorded://bucket/serving", tmp_path / "cache") == open_bundle(tmp_path / "other").id
        empty_store()


def test_a_local_location_is_locked(workspace: Workspace, tmp_path: Path) -> None:
    from core.lock import exclusive_lock

    with (
        exclusive_lock(Folder(tmp_path / "serving"), "export"),
        pytest.raises(AnimaticError, match=r"another export .* is writing to"),
    ):
        export_to(tmp_path / "serving", workspace)


def test_a_pointer_that_cannot_be_read_removes_nothing(workspace: Workspace, tmp_path: Path) -> None:
    location = Location(str(tmp_path / "serving"))
    export_to(tmp_path / "serving", workspace)
    (tmp_path / "serving" / "champion.json").write_text('{"format": 7}')
    with pytest.raises(AnimaticError, match="is of export format 7, this version reads format 1"):
        exports.prune(location, 0)
    assert len(location.exports()) == 1
    assert "export format 7" in list_exports(location)[0].problems[0]


def test_a_pointer_that_names_another_bundle_is_listed_with_that_problem(
    workspace: Workspace, tmp_path: Path
) -> None:
    pointer = tmp_path / "serving" / "champion.json"
    export_to(tmp_path / "serving", workspace)
    document = json.loads(pointer.read_text())
    pointer.write_text(json.dumps(document | {"bundle_id": "0" * 64}))
    (listed,) = list_exports(Location(str(tmp_path / "serving")))
    assert "names another bundle" in listed.problems[0]
