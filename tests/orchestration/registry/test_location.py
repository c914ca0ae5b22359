"""A bundle of the ledger is found in any folder that was recorded for it, or its machine is named."""

import shutil
import uuid
from pathlib import Path

import pytest

from core.errors import AnimaticError
from core.storage import Folder
from models.bundle import open_bundle
from orchestration import registry
from orchestration.registry import Ledger
from orchestration.registry.object_store import ObjectStore
from tests.support.small_stages import make_bundle


@pytest.fixture
def ledger() -> Ledger:
    """An empty one that machines share."""
    folder = Folder(f"memory://{uuid.uuid4().hex}")
    return Ledger(folder.url, ObjectStore(folder))


@pytest.fixture
def bundle_id(tmp_path: Path, ledger: Ledger) -> str:
    """Of a bundle that was recorded in the folder ``copy``, then in ``made``."""
    identifier = make_bundle(tmp_path / "made", seed=0)
    shutil.copytree(tmp_path / "made", tmp_path / "copy")
    for name in ("copy", "made"):
        registry.accept(ledger, open_bundle(tmp_path / name))
    return identifier


@pytest.mark.parametrize(("gone", "used"), [("made", "copy"), ("copy", "made")])
def test_a_bundle_is_found_in_any_folder_that_was_recorded_for_it(
    tmp_path: Path, ledger: Ledger, bundle_id: str, gone: str, used: str
) -> None:
    shutil.rmtree(tmp_path / gone)
    assert registry.named_bundle(ledger, bundle_id).folder == tmp_path / used
    make_bundle(tmp_path / gone, seed=1)
    assert registry.named_bundle(ledger, bundle_id).folder == tmp_path / used


def test_a_bundle_on_another_machine_is_reported_with_that_machine(
    tmp_path: Path, ledger: Ledger, bundle_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("made", "copy"):
        shutil.rmtree(tmp_path / name)
    with pytest.raises(AnimaticError, match=r"/made any more: copy it back there$"):
        registry.named_bundle(ledger, bundle_id)
    monkeypatch.setenv("ANIMATIC_HOST", "another-desk")
    with pytest.raises(AnimaticError, match=r"/made of the machine .* and not on this one: copy that folder"):
        registry.named_bundle(ledger, bundle_id)
