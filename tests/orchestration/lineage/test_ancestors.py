"""The bundles that a bundle descends from are found under their ids alone, and verified."""

import shutil

import pytest

from core.errors import AnimaticError
from models.bundle import open_bundle
from orchestration import registry
from orchestration.lineage import Ancestor, trace_lineage
from orchestration.lineage.ancestors import trace_bundles
from orchestration.registry import Ledger
from tests.support.small_stages import make_bundle, tamper


@pytest.fixture
def ledger(tmp_path) -> Ledger:
    return Ledger(tmp_path / "runs" / "ledger.jsonl")


def test_lineage_follows_parents_and_bases_and_names_missing_ones(tmp_path, ledger):
    base = make_bundle(tmp_path / "runs" / "base", stage=0)
    one = make_bundle(tmp_path / "runs" / "one", stage=1, parent=base)
    two = make_bundle(tmp_path / "runs" / "two", stage=2, parent=one, base=base)
    three = make_bundle(tmp_path / "runs" / "three", stage=3, parent=two)
    for name in ("one", "two", "three"):
        registry.accept(ledger, open_bundle(tmp_path / "runs" / name))

    chain = trace_lineage(ledger, open_bundle(tmp_path / "runs" / "three"))

    assert [link.id for link in chain] == [three, two, one, base]
    assert [link.stage for link in chain] == [3, 2, 1, None]
    assert chain[-1].path is None


def test_lineage_never_reports_another_bundle_under_an_ancestors_id(tmp_path, ledger):
    two = make_bundle(tmp_path / "runs" / "two", stage=2)
    make_bundle(tmp_path / "runs" / "three", parent=two)
    registry.accept(ledger, open_bundle(tmp_path / "runs" / "two"))
    child = open_bundle(tmp_path / "runs" / "three")
    assert trace_lineage(ledger, child)[1].path == tmp_path / "runs" / "two"
    (tmp_path / "runs" / "two").rename(tmp_path / "runs" / "kept")
    make_bundle(tmp_path / "runs" / "two", stage=2, seed=3)
    assert trace_lineage(ledger, child)[1] == Ancestor(two, None, None, None, None, None)
    registry.accept(ledger, open_bundle(tmp_path / "runs" / "kept"))
    assert trace_lineage(ledger, child)[1].path == tmp_path / "runs" / "kept"


def test_the_folder_of_one_bundle_does_not_explain_the_absence_of_another(tmp_path, ledger):
    make_bundle(tmp_path / "runs" / "three", parent="e" * 64)
    child = open_bundle(tmp_path / "runs" / "three")
    gone = trace_bundles(ledger, child.id, [child.folder])[1]
    assert (gone.id, gone.folder, gone.absence) == ("e" * 64, None, "")


def test_lineage_disregards_damage_of_another_bundle_in_an_ancestors_folder(tmp_path, ledger):
    runs = tmp_path / "runs"
    two = make_bundle(runs / "kept", stage=2)
    make_bundle(runs / "three", parent=two)
    shutil.copytree(runs / "kept", runs / "copy")
    for name in ("kept", "copy"):
        registry.accept(ledger, open_bundle(runs / name))
    shutil.rmtree(runs / "copy")
    make_bundle(runs / "copy", stage=2, seed=3)
    tamper(runs / "copy")
    assert trace_lineage(ledger, open_bundle(runs / "three"))[1].path == runs / "kept"


def test_lineage_verifies_every_ancestor(tmp_path, ledger):
    two = make_bundle(tmp_path / "runs" / "two", stage=2)
    make_bundle(tmp_path / "runs" / "three", parent=two)
    registry.accept(ledger, open_bundle(tmp_path / "runs" / "two"))
    tamper(tmp_path / "runs" / "two")
    with pytest.raises(AnimaticError, match="two was tampered with"):
        trace_lineage(ledger, open_bundle(tmp_path / "runs" / "three"))
