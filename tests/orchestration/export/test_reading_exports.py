"""An export is fetched and verified before its bundle is opened."""

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from core.errors import AnimaticError
from core.storage import Folder
from models.animate import animate
from models.bundle import open_bundle
from orchestration.export import ExportedFile, Manifest, read_export
from orchestration.export.records import UnreadableDocumentError, parse
from orchestration.signatures import private_key, sign_bundle
from orchestration.workspace import Workspace
from tests.support.exports import export_to, manifest_of
from tests.support.signing_keys import key_pair
from tests.support.small_stages import make_bundle, tamper


def test_what_was_fetched_is_verified_and_fetched_again_if_it_was_changed(
    url: str, workspace: Workspace, tmp_path: Path
) -> None:
    export_to(url, workspace)
    exported = read_export(url, "champion", to=tmp_path / "cache")
    inode = exported.bundle.weights.stat().st_ino
    assert read_export(url, "champion", to=tmp_path / "cache").bundle.weights.stat().st_ino == inode
    tamper(exported.bundle.folder)
    again = read_export(url, "champion", to=tmp_path / "cache")
    assert (
        again.bundle.weights.read_bytes()
        == (tmp_path / "runs" / "bundle-0" / "model.safetensors").read_bytes()
    )


def test_a_changed_manifest_is_not_used(url: str, workspace: Workspace, tmp_path: Path) -> None:
    result = export_to(url, workspace)
    name = f"{result.published.export.folder}/export.json"
    content = Folder(url).read(name)
    Folder(url).write(name, content.replace(b'"licence": "', b'"licence": "X'))
    with pytest.raises(AnimaticError, match=r"export.json was changed since champion.json named it"):
        read_export(url, "champion", to=tmp_path / "cache")
    Folder(url).write(name, content.replace(b'"bundle/README.md"', b'"../../README.md"'))
    with pytest.raises(AnimaticError, match=r"is not an export's manifest"):
        read_export(url, "champion", to=tmp_path / "cache")


@pytest.mark.parametrize(
    "change",
    [
        {"parts": {"codec": "../../secret"}},
        {"parts": {"codec": "/etc/passwd"}},
        {"files": {"./bundle/README.md": {"sha256": "0" * 64, "bytes": 1}}},
        {"files": {".": {"sha256": "0" * 64, "bytes": 1}}},
    ],
)
def test_a_manifest_names_only_files_of_its_folder_each_in_one_form(
    workspace: Workspace, tmp_path: Path, change: dict[str, Any]
) -> None:
    manifest = manifest_of(export_to(tmp_path / "serving", workspace)).model_dump(mode="json")
    files = {**manifest["files"], **change.get("files", {})}
    content = json.dumps({**manifest, **change, "files": files}).encode()
    with pytest.raises(UnreadableDocumentError, match="is not an export's manifest"):
        parse(Manifest, content, "export.json")


def test_a_pointer_does_not_lead_out_of_its_location(url: str, workspace: Workspace, tmp_path: Path) -> None:
    export = export_to(url, workspace).published.export.folder
    content = Folder(url).read("champion.json")
    for outside in (f"../{export}", f"/{export}", f"{export}/../../.."):
        Folder(url).write("champion.json", content.replace(export.encode(), outside.encode()))
        with pytest.raises(AnimaticError, match=r"champion.json is not the pointer of an export"):
            read_export(url, "champion", to=tmp_path / "cache")


def test_a_manifest_and_pointer_with_the_id_of_another_bundle_are_refused(
    workspace: Workspace, tmp_path: Path
) -> None:
    published = export_to(tmp_path / "serving", workspace).published
    manifest = published.export.manifest.model_copy(update={"bundle_id": "0" * 64}).encoded()
    (tmp_path / "serving" / published.export.folder / "export.json").write_bytes(manifest)
    update = {"bundle_id": "0" * 64, "manifest": hashlib.sha256(manifest).hexdigest()}
    (tmp_path / "serving" / "champion.json").write_bytes(
        published.pointer.model_copy(update=update).encoded()
    )
    with pytest.raises(AnimaticError, match="contains another bundle than it states"):
        read_export(str(tmp_path / "serving"), "champion", to=tmp_path / "cache")


def test_a_manifest_with_other_weights_than_its_bundle_is_refused(
    workspace: Workspace, tmp_path: Path
) -> None:
    """Someone who can write everything at the location still cannot exchange the weights of a bundle."""
    url = tmp_path / "serving"
    published = export_to(url, workspace).published
    folder = url / published.export.folder
    tamper(folder / "bundle")
    weights = (folder / "bundle" / "model.safetensors").read_bytes()
    file = ExportedFile(sha256=hashlib.sha256(weights).hexdigest(), bytes=len(weights))
    files = {**published.export.manifest.files, "bundle/model.safetensors": file}
    manifest = published.export.manifest.model_copy(update={"files": files}).encoded()
    (folder / "export.json").write_bytes(manifest)
    pointer = published.pointer.model_copy(update={"manifest": hashlib.sha256(manifest).hexdigest()})
    (url / "champion.json").write_bytes(pointer.encoded())
    with pytest.raises(AnimaticError, match="contains another bundle than it states"):
        read_export(str(url), "champion", to=tmp_path / "cache")


def test_a_name_that_does_not_exist_is_an_error_with_those_that_do(
    workspace: Workspace, tmp_path: Path
) -> None:
    with pytest.raises(AnimaticError, match="has no export named champion: it has none"):
        read_export(str(tmp_path / "serving"), "champion", to=tmp_path / "cache")
    export_to(tmp_path / "serving", workspace, name="live")
    with pytest.raises(AnimaticError, match="has no export named champion: it has live"):
        read_export(str(tmp_path / "serving"), "champion", to=tmp_path / "cache")


def test_a_required_signature_is_checked(workspace: Workspace, tmp_path: Path) -> None:
    keys = {name: key_pair(tmp_path, name) for name in ("ours", "theirs")}
    url, cache = str(tmp_path / "serving"), tmp_path / "cache"
    export_to(url, workspace)
    with pytest.raises(AnimaticError, match="is not signed"):
        read_export(url, "champion", to=cache, signers=[keys["ours"].public])
    bundle = open_bundle(tmp_path / "runs" / "bundle-0")
    sign_bundle(bundle, private_key(keys["ours"].private, None))
    # Signing changes no file of the bundle, and an export never changes: this is another one.
    again = export_to(url, workspace)
    assert "bundle/signature.json" in again.published.copied.names
    assert read_export(url, "champion", to=cache, signers=[keys["ours"].public]).bundle.id == bundle.id
    with pytest.raises(AnimaticError, match="signed by key"):
        read_export(url, "champion", to=cache, signers=[keys["theirs"].public])


def test_a_bundle_without_sampling_settings_gets_general_ones_stated(
    workspace: Workspace, tmp_path: Path
) -> None:
    make_bundle(tmp_path / "old")
    path = tmp_path / "old" / "bundle.json"
    info = json.loads(path.read_text())
    path.write_text(json.dumps({**info, "sampling": None}))
    result = export_to(tmp_path / "serving", workspace, str(tmp_path / "old"), name="old")
    assert manifest_of(result).sampling_from == "general"
    assert read_export(str(tmp_path / "serving"), "old", to=tmp_path / "cache").sampling.steps == 50


def test_opening_and_sampling_an_export_reads_no_preset(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export_to(tmp_path / "serving", workspace)
    monkeypatch.setattr(sys.modules["training.config.presets"], "PRESETS", tmp_path / "nowhere")
    exported = read_export(str(tmp_path / "serving"), "champion", to=tmp_path / "cache")
    architecture = exported.bundle.info.architecture
    image = torch.zeros(1, 3, architecture.height, architecture.width)
    assert animate(exported.animator(), image, ["a ball"], exported.sampling).shape == (1, 3, 3, 64, 64)
