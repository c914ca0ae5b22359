"""Acceptance, promotion and rollback use verified bundles and record every change in the ledger."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from core.errors import AnimaticError
from models.bundle import open_bundle, with_paths
from orchestration import registry
from orchestration.registry import ConflictError, Draft, Ledger
from orchestration.workspace import Workspace
from tests.support import promotions
from tests.support.layouts import hollow_bundle
from tests.support.published import small_published_architecture
from tests.support.small_stages import make_bundle, tamper


@pytest.fixture
def ledger(tmp_path) -> Ledger:
    return Ledger(tmp_path / "runs")


@pytest.fixture
def bundles(tmp_path, ledger) -> dict[str, str]:
    """Two stage-3 bundles, accepted in order -> their ids by folder name."""
    ids = {name: make_bundle(tmp_path / "runs" / name, seed=number) for number, name in enumerate("ab")}
    for name in ids:
        registry.accept(ledger, open_bundle(tmp_path / "runs" / name))
    return ids


def promote(ledger: Ledger, name: str | Path, **more) -> registry.Entry:
    return promotions.promote(ledger, registry.named_bundle(ledger, name), **more)


def test_promotion_and_rollback_move_the_champion_and_record_what_they_replaced(tmp_path, ledger, bundles):
    first = promote(ledger, tmp_path / "runs" / "a", actor="ann", note="first")
    second = promotions.promote(ledger, registry.newest_final_bundle(ledger))
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
    before = ledger.store.path.read_bytes()
    promote(ledger, bundles["b"])
    registry.accept(ledger, open_bundle(tmp_path / "runs" / "b"))
    assert ledger.store.path.read_bytes() == before


def test_a_rollback_returns_to_the_champion_just_before(tmp_path, ledger):
    ids = [make_bundle(tmp_path / "runs" / name, seed=number) for number, name in enumerate("abc")]
    for name in "abc":
        promote(ledger, tmp_path / "runs" / name)
    assert registry.rollback(ledger).bundle_id == ids[1]
    assert registry.rollback(ledger).bundle_id == ids[0]


def test_promotions_at_the_same_time_enter_a_bundle_once_and_roll_back_to_the_one_before(
    tmp_path, ledger, bundles
):
    promote(ledger, bundles["a"])
    with ThreadPoolExecutor(8) as pool:
        promoted = list(pool.map(lambda _: promote(Ledger(ledger.base), bundles["b"]), range(8)))
    assert len({entry.hash for entry in promoted}) == 1
    kinds = [(entry.kind, entry.bundle_id) for entry in ledger.entries()]
    assert kinds.count(("promoted", bundles["b"])) == 1
    assert registry.rollback(ledger).bundle_id == bundles["a"]


def test_a_rollback_during_which_another_bundle_is_promoted_is_refused(
    tmp_path, ledger, bundles, monkeypatch
):
    promote(ledger, bundles["a"])
    promote(ledger, bundles["b"])
    make_bundle(tmp_path / "runs" / "c", seed=5)
    waiting = [tmp_path / "runs" / "c"]

    def slow(folder: Path):
        if waiting:
            promotions.promote(ledger, open_bundle(waiting.pop()))
        return open_bundle(folder)

    monkeypatch.setattr("orchestration.registry.rolling_back.open_trusted", slow)
    with pytest.raises(ConflictError, match=r"promoted .* as champion of tiny meanwhile"):
        registry.rollback(ledger)
    assert registry.champion_bundle(ledger).folder == tmp_path / "runs" / "c"


def test_a_moved_bundle_is_accepted_where_it_is_now(tmp_path, ledger, bundles):
    (tmp_path / "runs" / "b").rename(tmp_path / "runs" / "moved")
    entry = registry.accept(ledger, open_bundle(tmp_path / "runs" / "moved"))
    assert ledger.path_of(entry) == tmp_path / "runs" / "moved"
    assert registry.newest_final_bundle(ledger).folder == tmp_path / "runs" / "moved"


@pytest.mark.parametrize("stage", [0, 1])
def test_a_bundle_of_an_early_stage_is_not_promoted(tmp_path, ledger, stage):
    make_bundle(tmp_path / "early", stage=stage)
    with pytest.raises(AnimaticError, match=f"is of stage {stage} and cannot animate"):
        promote(ledger, tmp_path / "early")
    assert ledger.entries() == []


def test_a_bundle_without_encoders_is_not_promoted(tmp_path, ledger):
    codec, encoders = tmp_path / "codec.safetensors", tmp_path / "encoders.safetensors"
    architecture = small_published_architecture(detail_guidance=True)
    towers = architecture.encoders.model_copy(update={"kind": "open_clip"})
    architecture = architecture.model_copy(update={"encoders": towers})
    hollow_bundle(tmp_path / "pruned", {}, architecture, stage=3, digest=True)
    with pytest.raises(AnimaticError, match="lacks the autoencoder and the text and image encoders: import"):
        promote(ledger, tmp_path / "pruned")
    whole = with_paths(architecture, str(codec), str(encoders))
    hollow_bundle(tmp_path / "named", {}, whole, stage=3, digest=True)
    with pytest.raises(AnimaticError, match=rf"the autoencoder \({codec} does not exist\)"):
        promote(ledger, tmp_path / "named")
    codec.write_bytes((2).to_bytes(8, "little") + b"{}")
    encoders.write_bytes((2).to_bytes(8, "little") + b"{}")
    assert promote(ledger, tmp_path / "named").kind == "promoted"


def test_a_bundle_of_another_preset_than_asked_for_is_refused(tmp_path, ledger, bundles):
    for name in (tmp_path / "runs" / "a", bundles["a"]):
        for select in (registry.named_bundle, registry.select_bundle):
            with pytest.raises(AnimaticError, match="is of preset tiny, not 512"):
                select(ledger, name, "512")
            assert select(ledger, name, "tiny").id == bundles["a"]


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


def test_a_parent_whose_folder_contains_another_bundle_is_not_trained_from(tmp_path, ledger, bundles):
    workspace = Workspace(tmp_path / "runs")
    assert workspace.parent_bundle(3, "tiny") == tmp_path / "runs" / "b"
    (tmp_path / "runs" / "b").rename(tmp_path / "runs" / "old")
    make_bundle(tmp_path / "runs" / "b", seed=9)
    with pytest.raises(AnimaticError, match=f"the ledger recorded {bundles['b'][:12]}"):
        workspace.parent_bundle(3, "tiny")


def test_a_beginning_shared_by_two_ids_is_refused(ledger):
    for name in ("ab1", "ab2"):
        ledger.append(Draft("accepted", name * 20, Path(name), 3, "tiny"))
    with pytest.raises(AnimaticError, match="ab is the beginning of 2 bundle ids"):
        registry.named_bundle(ledger, "ab")


def test_a_name_without_a_bundle_is_refused_in_one_line(ledger, bundles):
    for name in ("nowhere", "0" * 64, ""):
        with pytest.raises(AnimaticError, match="neither a bundle folder nor the id"):
            registry.named_bundle(ledger, name)
