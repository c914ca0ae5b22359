"""Promotions keep the decision of their gate, and ledgers from before there was one stay valid."""

import json
import shutil
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from core.errors import AnimaticError
from core.storage import Folder
from models.bundle import open_bundle
from orchestration import registry
from orchestration.lineage import trace_lineage
from orchestration.registry import CheckRecord, ConflictError, Evidence, GateRecord, Grounds, Ledger
from orchestration.registry.object_store import ObjectStore
from tests.support import promotions
from tests.support.small_stages import make_bundle

WITHOUT_GATES = Path(__file__).parent / "ledgers" / "without-gates.jsonl"
REFUSED = GateRecord(
    outcome="FAIL",
    gate="f" * 64,
    gate_name="tests",
    report="e" * 64,
    checks=(
        CheckRecord(kind="floor", name="frozen", outcome="FAIL", text="1 of 12 clips", value=1, bound=0),
    ),
)


@pytest.fixture
def ledger(tmp_path) -> Ledger:
    return Ledger(tmp_path / "runs")


def bundle_at(folder: Path, seed: int = 0):
    make_bundle(folder, seed=seed)
    return open_bundle(folder)


def test_a_ledger_from_before_gates_is_valid_and_grows(tmp_path, ledger):
    ledger.base.mkdir()
    shutil.copy(WITHOUT_GATES, ledger.store.path)
    before = ledger.store.path.read_bytes()
    assert ledger.verify() == []
    champion = ledger.champion("tiny")
    assert (champion.bundle_id, champion.gate, champion.forced) == ("a" * 64, None, "")
    grounds = Grounds(forced="the champion has no report")
    entry = registry.promote(ledger, bundle_at(tmp_path / "new"), lambda _: grounds)
    assert entry.replaced == "a" * 64
    assert ledger.store.path.read_bytes().startswith(before)
    assert ledger.verify() == []


def test_an_event_is_written_without_the_fields_that_it_does_not_use(tmp_path, ledger):
    registry.accept(ledger, bundle_at(tmp_path / "new"))
    written = json.loads(ledger.store.path.read_text())
    before = json.loads(WITHOUT_GATES.read_text().splitlines()[0])
    assert [*written] == ["format", "id", *before]


def test_a_promotion_keeps_every_number_and_what_it_was_decided_on(tmp_path, ledger):
    for seed, name in enumerate(("first", "second")):
        promotions.promote(ledger, bundle_at(tmp_path / name, seed))
    gate = ledger.entries()[-1].gate
    checks = {check.name: check for check in gate.checks}
    margin = checks["first_frame_psnr"]
    assert (gate.outcome, gate.gate_name, gate.champion_bundle) == (
        "PASS", "tests", ledger.entries()[1].bundle_id,
    )  # fmt: skip
    assert (margin.bound, margin.difference, margin.low, margin.high, margin.n) == (1, 0, 0, 0, 12)
    assert (checks["clips"].value, checks["frozen"].value) == (12, 0)

    evidence = Evidence(ledger.folder)
    assert evidence.problems(gate) == []
    assert gate.champion_report == ledger.entries()[1].gate.report
    kept = {("report", gate.report), ("report", gate.champion_report), ("gate", gate.gate)}
    stored = {f"promotions/{path.name}" for path in (ledger.base / "promotions").iterdir()}
    assert {evidence.name(kind, digest) for kind, digest in kept} == stored
    shutil.rmtree(tmp_path / "runs" / "evaluations")
    assert evidence.problems(gate) == []


def test_evidence_that_is_deleted_or_edited_is_reported(tmp_path, ledger):
    promotions.promote(ledger, bundle_at(tmp_path / "first"))
    gate, evidence = ledger.entries()[-1].gate, Evidence(ledger.folder)
    report = evidence.local("report", gate.report, tmp_path)
    content = json.loads(report.read_text())
    content["clips"][0]["caption"] = "edited"
    report.write_text(json.dumps(content))
    evidence.local("gate", gate.gate, tmp_path).unlink()
    problems = evidence.problems(gate)
    assert problems == [
        f"report {report} does not match its digest",
        f"gate {evidence.local('gate', gate.gate, tmp_path)} is missing",
    ]
    report.write_bytes(b"{")
    assert evidence.problems(gate)[0] == f"report {report} is damaged"
    report.write_bytes(b"[" * 1_000_000)
    assert evidence.problems(gate)[0] == f"report {report} is damaged"


def test_the_reason_of_a_forced_promotion_stays_in_the_ledger_and_in_lineages(tmp_path, ledger):
    bundle = bundle_at(tmp_path / "first")
    registry.promote(ledger, bundle, lambda _: Grounds(REFUSED, "a demonstration tomorrow"))
    entry = ledger.champion("tiny")
    assert (entry.gate, entry.forced) == (REFUSED, "a demonstration tomorrow")
    assert ledger.forced(bundle.id) == "a demonstration tomorrow"
    assert trace_lineage(ledger, bundle)[0].forced == "a demonstration tomorrow"
    registry.promote(ledger, bundle_at(tmp_path / "second", 1), lambda _: Grounds(forced="no report"))
    registry.rollback(ledger)
    assert ledger.champion("tiny").forced == "a demonstration tomorrow"
    assert ledger.verify() == []


@pytest.mark.parametrize("grounds", [{}, {"gate": REFUSED}, {"forced": ""}])
def test_a_promotion_needs_a_gate_that_passed_or_a_reason(grounds):
    with pytest.raises(ValueError, match="needs a gate that passed, or a reason"):
        Grounds(**grounds)


def test_what_the_gate_refuses_leaves_the_ledger_as_it_was(tmp_path, ledger):
    def refuse(_):
        raise AnimaticError("gate: FAIL")

    with pytest.raises(AnimaticError, match="gate: FAIL"):
        registry.promote(ledger, bundle_at(tmp_path / "first"), refuse)
    assert ledger.entries() == []


def test_of_two_promotions_at_once_the_second_is_refused_with_the_name_of_the_first(tmp_path, ledger):
    first, second, third = (bundle_at(tmp_path / name, seed) for seed, name in enumerate("abc"))
    promotions.promote(ledger, first)

    def judge(champion):
        promotions.promote(ledger, second, actor="ann")
        return Grounds(forced=f"over {champion.bundle_id[:6]}")

    with pytest.raises(
        ConflictError, match=f"ann promoted {second.id[:12]} as champion of tiny meanwhile, at .* nothing was"
    ):
        registry.promote(ledger, third, judge)
    assert third.id not in {entry.bundle_id for entry in ledger.entries()}
    assert ledger.champion("tiny").bundle_id == second.id


@pytest.mark.parametrize("where", ["file", "objects"])
def test_of_promotions_judged_against_one_champion_exactly_one_wins(tmp_path, where):
    folder = Folder(f"memory://{uuid.uuid4().hex}" if where == "objects" else tmp_path / "runs")
    store = ObjectStore(folder) if where == "objects" else None
    bundles = [bundle_at(tmp_path / f"{seed}", seed) for seed in range(4)]
    judged = threading.Barrier(len(bundles))

    def judge(champion):
        judged.wait(timeout=60)
        return Grounds(forced="all at once")

    def attempt(bundle):
        try:
            return registry.promote(Ledger(folder.url, store), bundle, judge)
        except ConflictError as error:
            return str(error)

    with ThreadPoolExecutor(len(bundles)) as pool:
        results = list(pool.map(attempt, bundles))
    won = [entry for entry in results if not isinstance(entry, str)]
    ledger = Ledger(folder.url, store)
    assert [entry for entry in ledger.entries() if entry.kind == "promoted"] == won and len(won) == 1
    assert all(
        f" promoted {won[0].bundle_id[:12]} as champion of" in each for each in results if each != won[0]
    )
    assert ledger.verify() == []


def test_a_champion_that_is_withdrawn_while_the_gate_decides_is_a_conflict(tmp_path, ledger):
    first, second = (bundle_at(tmp_path / name, seed) for seed, name in enumerate("ab"))
    known = promotions.promote(ledger, first)

    def judge(champion):
        registry.withdraw(ledger, known, "broken", force=True, actor="ann")
        return Grounds(forced="better")

    with pytest.raises(ConflictError, match=f"ann withdrew {first.id[:12]} as champion of tiny meanwhile"):
        registry.promote(ledger, second, judge)


def test_the_champion_is_promoted_again_without_asking_the_gate(tmp_path, ledger):
    bundle = bundle_at(tmp_path / "first")
    first = promotions.promote(ledger, bundle)
    assert registry.promote(ledger, bundle, lambda _: pytest.fail("asked")) == first
