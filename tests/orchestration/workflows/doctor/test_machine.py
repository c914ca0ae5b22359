"""doctor looks at what the workspace depends on: the ledger's chain, and the champion's files."""

import pytest

from models.bundle import open_bundle
from orchestration.registry import accept
from orchestration.workflows.doctor import Check, examine
from orchestration.workspace import Workspace
from tests.support.promotions import promote
from tests.support.small_stages import make_bundle

PROMOTED = [("bundle", "tiny"), ("other", "256")]


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    workspace = Workspace(tmp_path / "runs")
    make_bundle(tmp_path / "bundle")
    bundle = open_bundle(tmp_path / "bundle")
    accept(workspace.ledger, bundle)
    promote(workspace.ledger, bundle)
    return workspace


def found(workspace: Workspace) -> dict[str, Check]:
    return {check.name: check for check in examine(workspace)}


def test_an_intact_champion_is_named(workspace, tmp_path):
    checks = found(workspace)
    assert (checks["champion"].ok, checks["champion"].found) == (
        True,
        f"{open_bundle(tmp_path / 'bundle').id[:12]} (tiny)",
    )
    assert (checks["ledger"].ok, checks["ledger"].found) == (True, "2 entries, chain verified")


def test_a_changed_file_of_the_champion_fails(workspace, tmp_path):
    weights = tmp_path / "bundle" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    champion = found(workspace)["champion"]
    assert (champion.ok, champion.needed) == (False, True)
    assert "model.safetensors" in champion.found


def test_the_champions_of_all_presets_are_verified(workspace, tmp_path):
    make_bundle(tmp_path / "other", preset="256")
    promote(workspace.ledger, open_bundle(tmp_path / "other"))
    names = [f"{open_bundle(tmp_path / name).id[:12]} ({preset})" for name, preset in PROMOTED]
    assert found(workspace)["champion"].found == ", ".join(names)
    (tmp_path / "bundle" / "README.md").write_text("# changed\n")
    champion = found(workspace)["champion"]
    assert not champion.ok and "README.md" in champion.found


def test_a_ledger_that_ends_within_an_entry_fails(workspace):
    path = workspace.ledger.store.path
    path.write_bytes(path.read_bytes() + b'{"seq": 2, "kin')
    ledger = found(workspace)["ledger"]
    assert not ledger.ok and "ends within an entry" in ledger.found


def test_without_a_champion_nothing_fails(tmp_path):
    champion = found(Workspace(tmp_path / "runs"))["champion"]
    assert (champion.found, champion.needed) == ("none yet", False)
