"""Acceptance, promotion, rollback and lineage go through verified bundles and the ledger."""

import pytest

from core.errors import AnimaticError
from orchestration.registry import promotion
from orchestration.registry.ledger import Ledger
from orchestration.registry.lineage import lineage
from tests.support.small_stages import make_bundle, tamper


@pytest.fixture
def ledger(tmp_path) -> Ledger:
    return Ledger(tmp_path / "runs" / "ledger.jsonl")


@pytest.fixture
def bundles(tmp_path, ledger) -> dict[str, str]:
    """Two stage-3 bundles, accepted in order -> their ids by folder name."""
    ids = {name: make_bundle(tmp_path / "runs" / name, seed=number) for number, name in enumerate("ab")}
    for name in ids:
        promotion.accept(ledger, tmp_path / "runs" / name)
    return ids


def test_promotion_and_rollback_move_the_champion_and_say_what_they_replaced(tmp_path, ledger, bundles):
    first = promotion.promote(ledger, tmp_path / "runs" / "a", actor="ann", note="first")
    second = promotion.promote(ledger)
    assert (first.bundle_id, first.replaced, first.actor) == (bundles["a"], None, "ann")
    assert (second.bundle_id, second.replaced) == (bundles["b"], bundles["a"])
    assert promotion.champion_bundle(ledger)[1].id == bundles["b"]

    back = promotion.rollback(ledger)
    assert (back.bundle_id, back.replaced) == (bundles["a"], bundles["b"])
    assert promotion.champion_bundle(ledger)[1].id == bundles["a"]
    with pytest.raises(AnimaticError, match="no earlier one"):
        promotion.rollback(ledger)


def test_repeating_an_acceptance_or_promotion_adds_nothing(tmp_path, ledger, bundles):
    promotion.promote(ledger, bundles["b"][:10])
    before = ledger.path.read_bytes()
    promotion.promote(ledger, bundles["b"])
    promotion.accept(ledger, tmp_path / "runs" / "b")
    assert ledger.path.read_bytes() == before


def test_a_tampered_bundle_is_neither_accepted_nor_promoted_nor_used(tmp_path, ledger, bundles):
    promotion.promote(ledger, bundles["a"])
    promotion.promote(ledger, bundles["b"])
    tamper(tmp_path / "runs" / "a")
    with pytest.raises(AnimaticError, match="tampered"):
        promotion.rollback(ledger)
    assert promotion.champion_bundle(ledger)[1].id == bundles["b"]
    tamper(tmp_path / "runs" / "b")
    for act in (promotion.champion_bundle, promotion.promote):
        with pytest.raises(AnimaticError, match="tampered"):
            act(ledger)


def test_a_champion_folder_with_exchanged_content_is_refused(tmp_path, ledger, bundles):
    promotion.promote(ledger, bundles["a"])
    (tmp_path / "runs" / "a").rename(tmp_path / "runs" / "old")
    make_bundle(tmp_path / "runs" / "a", seed=7)
    with pytest.raises(AnimaticError, match="was promoted"):
        promotion.champion_bundle(ledger)


def test_lineage_follows_parents_and_bases_and_names_what_is_gone(tmp_path, ledger):
    base = make_bundle(tmp_path / "runs" / "base", stage=0)
    one = make_bundle(tmp_path / "runs" / "one", stage=1, parent=base)
    two = make_bundle(tmp_path / "runs" / "two", stage=2, parent=one, base=base)
    three = make_bundle(tmp_path / "runs" / "three", stage=3, parent=two)
    for name in ("one", "two", "three"):
        promotion.accept(ledger, tmp_path / "runs" / name)

    chain = lineage(ledger, tmp_path / "runs" / "three")

    assert [link.id for link in chain] == [three, two, one, base]
    assert [link.stage for link in chain] == [3, 2, 1, None]
    assert chain[-1].path is None


def test_what_names_no_bundle_is_refused_in_one_line(ledger, bundles):
    for target in ("nowhere", "0" * 64):
        with pytest.raises(AnimaticError, match="neither a bundle folder nor the id"):
            promotion.promote(ledger, target)
