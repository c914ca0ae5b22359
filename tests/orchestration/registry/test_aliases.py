"""Aliases move by promotion, rollback and withdrawal, and name a bundle wherever one is named."""

import shutil
from pathlib import Path

import pytest

from core.errors import AnimaticError
from models.bundle import open_bundle
from orchestration import registry
from orchestration.registry import Entry, Grounds, History, Ledger
from tests.support.ledgers import event, history
from tests.support.small_stages import make_bundle, tamper

FORCED = Grounds(forced="a test")
NAMES = ("one", "two", "three")


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "runs")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three bundles of preset tiny."""
    folder = tmp_path_factory.mktemp("bundles")
    for seed, name in enumerate(NAMES):
        make_bundle(folder / name, seed=seed)
    return folder


@pytest.fixture
def ids(made: Path, tmp_path: Path) -> dict[str, str]:
    """Copies of these bundles: their ids by the names of their folders."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return {name: open_bundle(tmp_path / name).id for name in NAMES}


def promote(ledger: Ledger, folder: Path, alias: str = "champion") -> Entry:
    bundle = open_bundle(folder)
    if alias == "champion":
        return registry.promote(ledger, bundle, lambda _: FORCED)
    return registry.give_alias(ledger, bundle, alias)


def names(found: History, preset: str = "tiny") -> dict[str, str]:
    return {alias: entry.bundle_id[0] for alias, entry in found.aliases(preset).items()}


def moved(bundle: str, alias: str = "champion", kind: str = "promoted", **more: str):  # type: ignore[no-untyped-def]
    return event(kind, bundle, alias=alias, **more)  # type: ignore[arg-type]


GONE = moved("b", kind="withdrawn")


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([moved("a")], {"champion": "a"}),
        ([moved("a"), moved("b")], {"champion": "b", "previous": "a"}),
        ([moved("a"), moved("b", "challenger")], {"champion": "a", "challenger": "b"}),
        ([event("promoted", "a"), moved("b")], {"champion": "b", "previous": "a"}),
        ([moved("a"), moved("b"), moved("a", kind="rolled_back")], {"champion": "a"}),
        ([moved("a"), moved("b"), GONE], {"previous": "a"}),
        ([moved("a"), moved("b"), event("withdrawn", "b")], {"previous": "a"}),
        ([moved("a"), moved("b"), event("withdrawn", "a")], {"champion": "b"}),
        ([moved("a"), moved("a", "nightly"), event("withdrawn", "a")], {}),
        ([moved("a"), moved("a", "nightly"), moved("a", "nightly", "withdrawn")], {"champion": "a"}),
        ([moved("a"), moved("b"), GONE, moved("a", kind="rolled_back")], {"champion": "a"}),
        ([moved("a"), moved("b"), GONE, moved("a")], {"champion": "a"}),
        ([moved("a"), moved("b", preset="256")], {"champion": "a"}),
        ([moved("a"), event("exported", "b", alias="champion")], {"champion": "a"}),
    ],
)  # fmt: skip
def test_who_has_which_alias_follows_from_the_entries(
    tmp_path: Path, events: list[registry.Draft], expected: dict[str, str]
) -> None:
    assert names(history(tmp_path, *events)) == expected


def test_another_alias_needs_no_gate_and_moves_like_the_champion(
    tmp_path: Path, ledger: Ledger, ids: dict[str, str]
) -> None:
    promote(ledger, tmp_path / "one")
    entry = promote(ledger, tmp_path / "two", "challenger")
    assert (entry.kind, entry.alias, entry.replaced, entry.gate) == ("promoted", "challenger", None, None)
    assert promote(ledger, tmp_path / "three", "challenger").replaced == ids["two"]
    before = len(ledger.entries())
    assert promote(ledger, tmp_path / "three", "challenger") == ledger.entries()[-1]
    assert len(ledger.entries()) == before
    assert registry.named_bundle(ledger, "challenger").id == ids["three"]
    assert registry.champion_bundle(ledger).id == ids["one"]


REFUSED = ("previous", "Champion", "1st", "a_b", "beef", "latest", "v2", "", "-a", "a.b")


def test_a_name_that_cannot_be_an_alias_is_refused(
    tmp_path: Path, ledger: Ledger, ids: dict[str, str]
) -> None:
    for name in REFUSED:
        with pytest.raises(AnimaticError, match=r"cannot be (an alias|set)"):
            promote(ledger, tmp_path / "one", name)
    assert ledger.entries() == []


def test_an_alias_is_no_longer_than_the_name_of_an_export_can_be() -> None:
    registry.check_alias("n" * 100)
    with pytest.raises(AnimaticError, match=r"an alias has at most 100 characters, and n+… has 101"):
        registry.check_alias("n" * 101)


def test_an_alias_comes_before_a_folder_which_is_named_as_a_path(
    tmp_path: Path, ledger: Ledger, ids: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree("two", "champion")
    with pytest.raises(AnimaticError, match=r"has no champion: .* the folder of that name is ./champion"):
        registry.named_bundle(ledger, "champion")
    promote(ledger, tmp_path / "one")
    assert registry.named_bundle(ledger, "champion").id == ids["one"]
    assert registry.named_bundle(ledger, "./champion").id == ids["two"]
    assert registry.named_bundle(ledger, Path("champion")).id == ids["two"]
    assert registry.named_bundle(ledger, "two").id == ids["two"]


def test_an_alias_of_several_presets_needs_the_preset(
    tmp_path: Path, ledger: Ledger, ids: dict[str, str]
) -> None:
    other = make_bundle(tmp_path / "other", preset="256")
    promote(ledger, tmp_path / "one")
    promote(ledger, tmp_path / "other")
    with pytest.raises(
        AnimaticError, match=f"several presets have a champion .tiny: {ids['one'][:12]}, 256: "
    ):
        registry.named_bundle(ledger, "champion")
    assert registry.named_bundle(ledger, "champion", "256").id == other
    with pytest.raises(
        AnimaticError, match=r"has no challenger of preset 256: `animatic promote BUNDLE --to"
    ):
        registry.named_bundle(ledger, "challenger", "256")
    with pytest.raises(AnimaticError, match="has no previous: promote twice first"):
        registry.named_bundle(ledger, "previous")


def test_a_withdrawn_bundle_is_neither_promoted_nor_found_by_default(
    tmp_path: Path, ledger: Ledger, ids: dict[str, str]
) -> None:
    for name in ("one", "two"):
        registry.accept(ledger, open_bundle(tmp_path / name))
    known = registry.known_bundle(ledger, ids["two"][:8])
    entry = registry.withdraw(ledger, known, "licence withdrawn", actor="ann")
    assert (entry.kind, entry.alias, entry.note) == ("withdrawn", "", "licence withdrawn")
    assert registry.withdraw(ledger, known, "again") == entry
    with pytest.raises(
        AnimaticError, match=r"was withdrawn from use by ann at .* \(licence withdrawn\) and cannot"
    ):
        promote(ledger, tmp_path / "two")
    with pytest.raises(AnimaticError, match="cannot be promoted"):
        promote(ledger, tmp_path / "two", "challenger")
    assert registry.newest_final_bundle(ledger).id == ids["one"]
    assert registry.newest_folder(ledger, 3, "tiny") == tmp_path / "one"
    # Who names it still gets it.
    assert registry.named_bundle(ledger, ids["two"]).id == ids["two"]


def test_a_bundle_with_an_alias_is_withdrawn_by_force_and_loses_it(
    tmp_path: Path, ledger: Ledger, ids: dict[str, str]
) -> None:
    promote(ledger, tmp_path / "one")
    known = promote(ledger, tmp_path / "two")
    promote(ledger, tmp_path / "two", "nightly")
    advice = r"nightly of preset tiny: promote another one first .*, and remove it .*\(`--from nightly`\), or"
    with pytest.raises(AnimaticError, match=f"is champion and {advice}"):
        registry.withdraw(ledger, known, "broken")
    entry = registry.withdraw(ledger, known, "broken", force=True)
    assert entry.forced == "was champion, nightly"
    assert {*ledger.aliases("tiny")} == {"previous"}
    with pytest.raises(AnimaticError, match="has no champion"):
        registry.champion_bundle(ledger, "tiny")
    back = registry.rollback(ledger)
    assert (back.bundle_id, back.replaced) == (ids["one"], None)
    assert registry.champion_bundle(ledger).id == ids["one"]


def test_an_alias_is_removed_only_from_the_bundle_that_has_it(
    tmp_path: Path, ledger: Ledger, ids: dict[str, str]
) -> None:
    known = promote(ledger, tmp_path / "one")
    with pytest.raises(
        AnimaticError, match="does not have the alias challenger of preset tiny: it has champion"
    ):
        registry.withdraw(ledger, known, "broken", alias="challenger")
    entry = registry.withdraw(ledger, known, "broken", alias="champion")
    assert (entry.kind, entry.alias) == ("withdrawn", "champion")
    assert ledger.aliases("tiny") == {}
    assert promote(ledger, tmp_path / "one").kind == "promoted"
    assert registry.champion_bundle(ledger).id == ids["one"]


def test_a_rollback_that_is_impossible_is_refused_with_the_way_out(
    tmp_path: Path, ledger: Ledger, ids: dict[str, str]
) -> None:
    with pytest.raises(
        AnimaticError, match="nothing can be rolled back: promote a bundle with `animatic promote`"
    ):
        registry.rollback(ledger)
    promote(ledger, tmp_path / "one")
    with pytest.raises(AnimaticError, match=f"no earlier one .*animatic withdraw {ids['one'][:12]} --from"):
        registry.rollback(ledger)
    two = promote(ledger, tmp_path / "two")
    promote(ledger, tmp_path / "three")
    way_out = f"`animatic promote {ids['one'][:12]}`"
    (tmp_path / "two").rename(tmp_path / "away")
    with pytest.raises(AnimaticError, match=f"is not in .*two any more: copy it back .* {way_out}"):
        registry.rollback(ledger)
    shutil.copytree(tmp_path / "away", tmp_path / "two")
    tamper(tmp_path / "two")
    with pytest.raises(AnimaticError, match=f"cannot be reinstated: .* tampered .* {way_out}"):
        registry.rollback(ledger)
    registry.withdraw(ledger, two, "licence", actor="ann")
    with pytest.raises(
        AnimaticError, match=rf"was withdrawn from use by ann at .* \(licence\): .* {way_out}"
    ):
        registry.rollback(ledger)
    assert registry.champion_bundle(ledger).id == ids["three"]


def test_a_rollback_finds_a_bundle_that_was_accepted_again_elsewhere(
    tmp_path: Path, ledger: Ledger, ids: dict[str, str]
) -> None:
    promote(ledger, tmp_path / "one")
    promote(ledger, tmp_path / "two")
    (tmp_path / "one").rename(tmp_path / "moved")
    registry.accept(ledger, open_bundle(tmp_path / "moved"))
    back = registry.rollback(ledger)
    assert ledger.path_of(back) == tmp_path / "moved"


def test_a_deployment_is_recorded_once_while_it_lasts(
    tmp_path: Path, ledger: Ledger, ids: dict[str, str]
) -> None:
    one, two = (promote(ledger, tmp_path / name) for name in ("one", "two"))
    first = registry.record_deployment(ledger, one, "https://host/v1")
    assert registry.record_deployment(ledger, one, "https://host/v1") == first
    assert registry.record_deployment(ledger, one, "https://user:secret@host/v1") == first
    assert registry.record_deployment(ledger, one, "https://other/v1") != first
    registry.record_deployment(ledger, two, "https://host/v1")
    assert registry.record_deployment(ledger, one, "https://host/v1") != first
    assert [entry.kind for entry in ledger.log(ids["one"])].count("deployed") == 3
