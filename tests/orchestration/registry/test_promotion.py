"""Acceptance, promotion, rollback and lineage use verified bundles and record every change in the ledger."""

from pathlib import Path

import pytest

from core.errors import AnimaticError
from models.bundle import open_bundle
from orchestration import registry
from orchestration.registry import Ledger
from tests.support.small_stages import make_bundle, tamper


@pytest.fixture
def ledger(tmp_path) -> Ledger:
    return Ledger(tmp_path / "runs" / "ledger.jsonl")


@pytest.fixture
def bundles(tmp_path, ledger) -> dict[str, str]:
    """Two stage-3 bundles, accepted in order -> their ids by folder name."""
    ids = {name: make_bundle(tmp_path / "runs" / name, seed=number) for number, name in enumerate("ab")}
    for name in ids:
        registry.accept(ledger, open_bundle(tmp_path / "runs" / name))
    return ids


def promote(ledger: Ledger, name: str | Path, **more) -> registry.Entry:
    return registry.promote(ledger, registry.named_bundle(ledger, name), **more)


def test_promotion_and_rollback_move_the_champion_and_record_what_they_replaced(tmp_path, ledger, bundles):
    first = promote(ledger, tmp_path / "runs" / "a", actor="ann", note="first")
    second = registry.promote(ledger, registry.newest_final_bundle(ledger))
    assert (first.bundle_id, first.replaced, first.actor) == (bundles["a"], None, "ann")
    assert (second.bundle_id, second.replaced) == (bundles["b"], bundles["a"])
    assert registry.champion_bundle(ledger).id == bundles["b"]

    back = registry.rollback(ledger)
    assert (back.bundle_id, back.replaced) == (bundles["a"], bundles["b"])
    assert registry.champion_bundle(ledger).id == bundles["a"]
    with pytest.raises(AnimaticError, match="no earlier one"):
        registry.rollback(ledger)


def test_repeating_an_acceptance_or_promotion_adds_nothing(tmp_path, ledger, bundles):
    promote(ledger, bundles["b"][:10])
    before = ledger.path.read_bytes()
    promote(ledger, bundles["b"])
    registry.accept(ledger, open_bundle(tmp_path / "runs" / "b"))
    assert ledger.path.read_bytes() == before


def test_a_tampered_bundle_is_neither_promoted_nor_used(tmp_path, ledger, bundles):
    promote(ledger, bundles["a"])
    promote(ledger, bundles["b"])
    tamper(tmp_path / "runs" / "a")
    with pytest.raises(AnimaticError, match="tampered"):
        registry.rollback(ledger)
    assert registry.champion_bundle(ledger).id == bundles["b"]
    tamper(tmp_path / "runs" / "b")
    for select in (registry.champion_bundle, registry.newest_final_bundle):
        with pytest.raises(AnimaticError, match="tampered"):
            select(ledger)


def test_an_exchanged_folder_is_refused_under_the_id_of_its_former_bundle(tmp_path, ledger, bundles):
    promote(ledger, bundles["a"])
    promote(ledger, bundles["b"])
    for number, name in enumerate("ab"):
        (tmp_path / "runs" / name).rename(tmp_path / "runs" / f"old-{name}")
        make_bundle(tmp_path / "runs" / name, seed=7 + number)
    for select in (registry.champion_bundle, registry.newest_final_bundle):
        with pytest.raises(AnimaticError, match=f"the ledger recorded {bundles['b'][:12]}"):
            select(ledger)
    with pytest.raises(AnimaticError, match=f"the ledger recorded {bundles['a'][:12]}"):
        registry.named_bundle(ledger, bundles["a"])
    with pytest.raises(AnimaticError, match=f"the previous champion is {bundles['a'][:12]}"):
        registry.rollback(ledger)


def test_lineage_follows_parents_and_bases_and_names_missing_ones(tmp_path, ledger):
    base = make_bundle(tmp_path / "runs" / "base", stage=0)
    one = make_bundle(tmp_path / "runs" / "one", stage=1, parent=base)
    two = make_bundle(tmp_path / "runs" / "two", stage=2, parent=one, base=base)
    three = make_bundle(tmp_path / "runs" / "three", stage=3, parent=two)
    for name in ("one", "two", "three"):
        registry.accept(ledger, open_bundle(tmp_path / "runs" / name))

    chain = registry.trace_lineage(ledger, open_bundle(tmp_path / "runs" / "three"))

    assert [link.id for link in chain] == [three, two, one, base]
    assert [link.stage for link in chain] == [3, 2, 1, None]
    assert chain[-1].path is None


def test_a_name_without_a_bundle_is_refused_in_one_line(ledger, bundles):
    for name in ("nowhere", "0" * 64):
        with pytest.raises(AnimaticError, match="neither a bundle folder nor the id"):
            registry.named_bundle(ledger, name)
