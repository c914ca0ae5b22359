"""The ledger keeps every event in order and detects tampering."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from core.errors import AnimaticError
from orchestration.registry import Ledger
from orchestration.registry.ledger import GENESIS, Entry
from tests.support.grown_models import ADDED, grown


def record(ledger: Ledger, kind, name: str, stage: int = 3, preset: str = "tiny", **more):
    return ledger.append(
        kind, bundle_id=name * 8, bundle_path=ledger.path.parent / name, stage=stage, preset=preset, **more
    )


@pytest.fixture
def ledger(tmp_path) -> Ledger:
    ledger = Ledger(tmp_path / "runs" / "ledger.jsonl")
    for name in ("a", "b", "c"):
        record(ledger, "accepted", name, actor="tester")
    return ledger


def rewrite(ledger: Ledger, change) -> None:
    lines = ledger.path.read_text().splitlines()
    ledger.path.write_text("\n".join(change(lines)) + "\n")


def altered(lines: list[str]) -> list[str]:
    entry = json.loads(lines[1])
    return [lines[0], json.dumps({**entry, "actor": "somebody else"}), lines[2]]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (altered, "line 2 does not match its own hash"),
        (lambda lines: [lines[0], lines[2]], "line 2 does not follow line 1"),
        (lambda lines: [lines[1], lines[0], lines[2]], "line 1 does not follow"),
        (lambda lines: [lines[0], "nonsense", lines[2]], "line 2 is not a ledger entry"),
    ],
)
def test_tampering_is_located_and_stops_further_use(ledger, change, named):
    assert ledger.verify() == []
    rewrite(ledger, change)
    assert any(named in problem for problem in ledger.verify())
    with pytest.raises(AnimaticError, match="cannot be trusted"):
        record(ledger, "accepted", "d")
    with pytest.raises(AnimaticError, match="cannot be trusted"):
        ledger.champion()


def test_an_append_cut_short_by_a_crash_is_no_entry_and_does_not_block_the_next(ledger):
    with ledger.path.open("ab") as file:
        file.write(b'{"seq": 3, "time": "20')
    assert [entry.bundle_id for entry in ledger.entries()] == ["a" * 8, "b" * 8, "c" * 8]
    record(ledger, "accepted", "d")
    assert ledger.verify() == []
    assert ledger.entries()[-1].bundle_id == "d" * 8


def test_concurrent_writers_extend_one_chain(ledger):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: record(Ledger(ledger.path), "accepted", f"n{n}"), range(24)))
    assert ledger.verify() == []
    assert len(ledger.entries()) == 27


def test_newest_and_champion_are_per_preset(ledger):
    record(ledger, "accepted", "d", stage=2)
    record(ledger, "accepted", "e", preset="512")
    record(ledger, "promoted", "a")
    record(ledger, "promoted", "e", preset="512")
    assert ledger.newest(3, "tiny").bundle_id == "c" * 8
    assert ledger.newest(2, "tiny").bundle_id == "d" * 8
    assert ledger.newest(1, "tiny") is None
    assert ledger.champion("tiny").bundle_id == "a" * 8
    assert ledger.champion().bundle_id == "e" * 8


def test_a_moved_workspace_still_finds_its_bundles(ledger, tmp_path):
    moved = tmp_path / "elsewhere"
    ledger.path.parent.rename(moved)
    there = Ledger(moved / "ledger.jsonl")
    assert there.path_of(there.entries()[0]) == Path(moved / "a")


def test_a_recorded_hash_holds_when_entries_get_more_fields():
    values = {
        "seq": 0,
        "time": "2026-01-01T00:00:00+00:00",
        "kind": "promoted",
        "bundle_id": "ab" * 32,
        "bundle_path": "runs/é",
        "stage": 3,
        "preset": "tiny",
        "actor": "x",
        "previous": GENESIS,
    }
    recorded = "abdaba982cd8a161288f081997e7c5a12b8463f18c21df69304e6830cca804a8"
    larger = grown(Entry)
    assert Entry(**values).digest() == larger(**values).digest() == recorded
    assert larger(**values, **{ADDED: 1}).digest() != recorded
