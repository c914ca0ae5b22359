"""The ledger keeps every event in order and detects tampering."""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import AnimaticError
from orchestration.registry import CheckRecord, Draft, Entry, GateRecord, Kind, Ledger
from orchestration.registry.lines import GENESIS, first_format_hash, seal
from tests.support.grown_models import ADDED, grown


def record(ledger: Ledger, kind, name: str, stage: int = 3, preset: str = "tiny", **more):
    return ledger.append(Draft(kind, name * 8, ledger.base / name, stage, preset, **more))


@pytest.fixture
def ledger(tmp_path) -> Ledger:
    ledger = Ledger(tmp_path / "runs")
    for name in ("a", "b", "c"):
        record(ledger, "accepted", name, actor="tester")
    return ledger


def rewrite(ledger: Ledger, change) -> None:
    lines = ledger.store.path.read_text().splitlines()
    ledger.store.path.write_text("\n".join(change(lines)) + "\n")


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


CHECK = CheckRecord(kind="margin", name="flicker", outcome="PASS", text="0.1", value=0.1, low=-0.5, n=12)
DECISION = GateRecord(outcome="PASS", gate="f" * 64, gate_name="tiny", report="e" * 64, checks=(CHECK,))
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
FIELDS = {
    "format": st.integers(2, 9),
    "id": TEXT,
    "seq": st.integers(0, 9),
    "time": TEXT,
    "kind": st.sampled_from(get_args(Kind)),
    "bundle_id": TEXT,
    "bundle_path": TEXT,
    "host": TEXT,
    "stage": st.integers(0, 9),
    "preset": TEXT,
    "actor": TEXT,
    "replaced": st.none() | TEXT,
    "note": TEXT,
    "gate": st.sampled_from([None, *(DECISION.model_copy(update={"report": name * 64}) for name in "ab")]),
    "forced": TEXT,
    "alias": TEXT,
    "location": TEXT,
    "digest": TEXT,
    "export_format": TEXT,
    "previous": TEXT,
}


@pytest.fixture(scope="module")
def chain(tmp_path_factory) -> Ledger:
    ledger = Ledger(tmp_path_factory.mktemp("chain"))
    for name in ("a", "b", "c"):
        record(ledger, "accepted", name, actor="tester", replaced=name, note="n")
    record(ledger, "promoted", "c", gate=DECISION, forced="why", alias="champion")
    record(ledger, "exported", "c", location="s3://there/champion.json", digest="d" * 64, export_format="1")
    return ledger


def line_of(entry: Entry) -> bytes:
    """The line of an entry with the hash that it has, whether it fits or not."""
    sealed, line = seal(entry)
    return line.replace(sealed.hash.encode(), entry.hash.encode())


@pytest.mark.parametrize("field", FIELDS)
@given(data=st.data())
def test_no_field_of_an_entry_can_be_rewritten(chain, tmp_path_factory, field, data):
    assert FIELDS.keys() | {"hash"} == Entry.model_fields.keys()
    entries = chain.entries()
    number = data.draw(st.integers(0, len(entries) - 1))
    value = data.draw(FIELDS[field].filter(lambda value: value != getattr(entries[number], field)))
    forged = Ledger(tmp_path_factory.getbasetemp() / "forged")
    forged.base.mkdir(exist_ok=True)
    altered = entries[number].model_copy(update={field: value})
    before = f"line {number}" if number else "the beginning"

    def verify(*changed: Entry) -> list[str]:
        lines = {entry.seq: entry for entry in entries} | {number: changed[0]}
        lines |= {number + 1: changed[1]} if changed[1:] else {}
        forged.store.path.write_bytes(b"".join(line_of(entry) + b"\n" for entry in lines.values()))
        return forged.verify()

    assert f"line {number + 1} does not match its own hash" in verify(altered)
    rehashed = seal(altered)[0]
    if field in ("seq", "previous"):
        assert f"line {number + 1} does not follow {before}" in verify(rehashed)
    if number + 1 == len(entries):
        return
    # The entry after it names the old hash, and its own hash covers that name.
    assert f"line {number + 2} does not follow line {number + 1}" in verify(rehashed)
    relinked = entries[number + 1].model_copy(update={"previous": rehashed.hash})
    assert f"line {number + 2} does not match its own hash" in verify(rehashed, relinked)


def test_an_entry_is_on_disk_when_it_is_returned(tmp_path, monkeypatch):
    ledger, synced = Ledger(tmp_path / "runs"), []
    fsync = os.fsync

    def recording(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").resolve()
        synced.append((path, path.read_bytes() if path.is_file() else None))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", recording)
    for name in ("a", "b"):
        record(ledger, "accepted", name)
        assert synced[-1] == (ledger.store.path, ledger.store.path.read_bytes())
        # The name of the file is durable too, before anything is in it.
        assert (ledger.base, None) in synced
        synced.clear()


def test_a_last_entry_without_its_newline_is_an_entry_and_is_kept(ledger):
    ledger.store.path.write_bytes(ledger.store.path.read_bytes()[:-1])
    assert ledger.check().remarks == ()
    assert [entry.bundle_id for entry in ledger.entries()] == ["a" * 8, "b" * 8, "c" * 8]
    record(ledger, "accepted", "d")
    assert ledger.verify() == []
    assert [entry.bundle_id for entry in ledger.entries()] == ["a" * 8, "b" * 8, "c" * 8, "d" * 8]


def test_an_altered_last_entry_without_its_newline_is_noticed(ledger):
    ledger.store.path.write_bytes(ledger.store.path.read_bytes()[:-1].replace(b'"cccccccc"', b'"dddddddd"'))
    assert ledger.verify() == ["line 3 does not match its own hash"]


def test_an_append_cut_short_by_a_crash_is_no_entry_and_does_not_block_the_next(ledger):
    with ledger.store.path.open("ab") as file:
        file.write(b'{"seq": 3, "time": "20')
    assert ledger.verify() == []
    assert "ends within an entry" in ledger.check().remarks[0]
    assert [entry.bundle_id for entry in ledger.entries()] == ["a" * 8, "b" * 8, "c" * 8]
    record(ledger, "accepted", "d")
    assert ledger.verify() == []
    assert ledger.entries()[-1].bundle_id == "d" * 8


def test_concurrent_writers_extend_one_chain(ledger):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: record(Ledger(ledger.base), "accepted", f"n{n}"), range(24)))
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


def test_the_champion_without_a_preset_is_of_the_last_promotion_whatever_was_accepted_since(ledger):
    record(ledger, "promoted", "a", preset="tiny")
    record(ledger, "promoted", "b", preset="256")
    record(ledger, "accepted", "c", preset="tiny")
    assert ledger.champion().bundle_id == "b" * 8


def test_a_promotion_that_was_entered_twice_counts_once(ledger):
    for name in ("a", "b", "b"):
        record(ledger, "promoted", name)
    assert [entry.bundle_id for entry in ledger.champions("tiny")] == ["a" * 8, "b" * 8]
    # What earlier versions then took for a return to the champion before.
    record(ledger, "rolled_back", "b")
    assert ledger.champion("tiny").bundle_id == "b" * 8
    record(ledger, "rolled_back", "a")
    assert ledger.champion("tiny").bundle_id == "a" * 8


def test_a_moved_workspace_still_finds_its_bundles(ledger, tmp_path):
    moved = tmp_path / "elsewhere"
    ledger.base.rename(moved)
    there = Ledger(moved)
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
    assert first_format_hash(Entry(**values)) == first_format_hash(larger(**values)) == recorded
    assert first_format_hash(larger(**values, **{ADDED: 1})) != recorded
