"""Whatever becomes of the bytes of a ledger, on a disk or in an object store, verification finds it."""

import uuid
from dataclasses import dataclass
from pathlib import Path

import pytest

from core.errors import AnimaticError
from core.storage import Folder
from orchestration.registry import CheckRecord, Draft, GateRecord, Ledger
from orchestration.registry.entry import FORMAT
from orchestration.registry.lines import GENESIS, seal
from orchestration.registry.object_store import ObjectStore

WITHOUT_GATES = Path(__file__).parent / "ledgers" / "without-gates.jsonl"
CHECK = CheckRecord(kind="margin", name="flicker", outcome="PASS", text="é", value=0.1, low=-0.5, n=12)
GATE = GateRecord(outcome="PASS", gate="f" * 64, gate_name="tiny", report="e" * 64, checks=(CHECK,))


def draft(name: str, **more: object) -> Draft:
    return Draft("promoted", name * 32, Path(name), 3, "tiny", "ann", note="é", **more)  # type: ignore[arg-type]


def local_ledger(folder: Path) -> Ledger:
    """Two entries of format 1 and three of format 2."""
    folder.mkdir()
    lines = WITHOUT_GATES.read_bytes().splitlines(keepends=True)
    (folder / "ledger.jsonl").write_bytes(b"".join(lines[:2]))
    ledger = Ledger(folder)
    fill(ledger)
    return ledger


def object_ledger() -> Ledger:
    """Three entries of format 2, each an object."""
    folder = Folder(f"memory://{uuid.uuid4().hex}")
    ledger = Ledger(folder.url, ObjectStore(folder))
    fill(ledger)
    return ledger


def fill(ledger: Ledger) -> None:
    ledger.append(draft("ab", gate=GATE, alias="champion"))
    ledger.append(draft("cd", alias="challenger"))
    ledger.append(draft("cd", alias="champion", forced="why"))


@dataclass
class Stored:
    """The files of a ledger, which a test may change."""

    ledger: Ledger

    def read(self) -> dict[str, bytes]:
        if self.ledger.base is not None:
            return {"ledger.jsonl": (self.ledger.base / "ledger.jsonl").read_bytes()}
        names = self.ledger.folder.names("ledger")
        return {f"ledger/{name}": self.ledger.folder.read(f"ledger/{name}") for name in names}

    def write(self, name: str, content: bytes) -> None:
        if self.ledger.base is not None:
            (self.ledger.base / name).write_bytes(content)  # without waiting for the disk
        else:
            self.ledger.folder.write(name, content)


@pytest.fixture(params=["file", "objects"])
def stored(request: pytest.FixtureRequest, tmp_path: Path) -> Stored:
    return Stored(local_ledger(tmp_path / "registry") if request.param == "file" else object_ledger())


def missed(stored: Stored, step: int) -> list[str]:
    """The changed bytes that verification does not find, of every ``step``-th byte."""
    found = []
    for name, content in stored.read().items():
        for position in sorted({*range(0, len(content), step), len(content) - 1}):
            byte = content[position]
            for changed in {byte ^ 1, byte ^ (1 << position % 8), ord("\n")} - {byte}:
                stored.write(name, content[:position] + bytes([changed]) + content[position + 1 :])
                if not stored.ledger.verify():
                    found.append(f"{name}, byte {position}: {byte} became {changed}")
        stored.write(name, content)
    return found


def test_a_changed_byte_is_found(stored: Stored) -> None:
    assert stored.ledger.verify() == []
    assert missed(stored, 37) == []
    assert stored.ledger.verify() == []


@pytest.mark.slow
def test_a_changed_byte_anywhere_is_found(stored: Stored) -> None:
    assert missed(stored, 1) == []


def test_a_byte_that_is_added_or_lost_is_found(stored: Stored) -> None:
    for name, content in stored.read().items():
        for position in range(0, len(content) - 1, 61):
            stored.write(name, content[:position] + content[position + 1 :])
            assert stored.ledger.verify(), f"lost {name} {position}"
            stored.write(name, content[:position] + b" " + content[position:])
            assert stored.ledger.verify(), f"added {name} {position}"
        stored.write(name, content + b" ")
        assert stored.ledger.verify()
        stored.write(name, content)


MOVES = {
    "removed": lambda lines: [lines[0], *lines[2:]],
    "swapped": lambda lines: [lines[1], lines[0], *lines[2:]],
    "repeated": lambda lines: [*lines, lines[-1]],
    "repeated within": lambda lines: [lines[0], lines[0], *lines[2:]],
}


@pytest.mark.parametrize("move", MOVES)
def test_an_entry_that_is_removed_swapped_or_repeated_is_found(stored: Stored, move: str) -> None:
    ledger = stored.ledger
    if ledger.base is not None:
        lines = (ledger.base / "ledger.jsonl").read_bytes().splitlines()
        stored.write("ledger.jsonl", b"".join(line + b"\n" for line in MOVES[move](lines)))
    else:
        contents = list(stored.read().values())
        for name in stored.read():
            ledger.folder.remove(name)
        for number, content in enumerate(MOVES[move](contents)):
            stored.write(f"ledger/{number:08d}.json", content)
    assert ledger.verify()
    with pytest.raises(AnimaticError, match="cannot be trusted"):
        ledger.append(draft("ef"))


def test_an_object_that_is_gone_is_named() -> None:
    ledger = object_ledger()
    ledger.folder.remove("ledger/00000001.json")
    assert "00000001.json is missing" in ledger.verify()
    ledger.folder.remove("ledger/00000000.json")
    assert "00000000.json is missing" in ledger.verify()


def test_a_cut_off_end_is_found_by_the_head_that_is_expected(stored: Stored) -> None:
    ledger = stored.ledger
    head = ledger.check().head
    assert head is not None and ledger.verify(head) == ledger.verify(head[:12]) == []
    if ledger.base is not None:
        lines = (ledger.base / "ledger.jsonl").read_bytes().splitlines(keepends=True)
        stored.write("ledger.jsonl", b"".join(lines[:-1]))
    else:
        ledger.folder.remove("ledger/00000002.json")
    assert ledger.verify() == []
    assert ledger.verify(head) == [f"no entry has the hash {head}: the end was cut off, or replaced"]
    ledger.append(draft("ef"))
    assert ledger.verify(head) != []
    for wrong in ("abc", "x" * 64, head.upper()):
        with pytest.raises(AnimaticError, match="is not the hash of an entry"):
            ledger.verify(wrong)


def test_every_beginning_of_an_entry_is_a_remark_and_is_replaced_by_the_next(tmp_path: Path) -> None:
    ledger = local_ledger(tmp_path / "registry")
    path = tmp_path / "registry" / "ledger.jsonl"
    whole = path.read_bytes()
    last = whole.splitlines(keepends=True)[-1]
    before = whole[: -len(last)]
    for kept in (*range(1, len(last) - 90, 11), *range(len(last) - 90, len(last) - 1)):
        path.write_bytes(before + last[:kept])
        chain = ledger.check()
        # With its hash, it could be an entry whose end was damaged.
        if len(last) - kept > 3:
            assert (chain.problems, len(chain.remarks), len(chain.entries)) == ((), 1, 4), kept
        else:
            assert chain.problems or len(chain.entries) == 5, kept
    path.write_bytes(before + last[:40])
    ledger.append(draft("ef"))
    assert ledger.check().remarks == ()
    assert [entry.bundle_id for entry in ledger.entries()][3:] == ["cd" * 32, "ef" * 32]


@pytest.mark.parametrize("end", [b"x", b"{}", b'{"format":2}}', b"\x00" * 8, b'{"seq":5}x', b"[1, 2"])
def test_bytes_after_the_last_entry_are_damage_and_are_not_cut_off(tmp_path: Path, end: bytes) -> None:
    ledger = local_ledger(tmp_path / "registry")
    path = tmp_path / "registry" / "ledger.jsonl"
    content = path.read_bytes() + end
    for damaged in (content, content[: -len(end) - 1] + end):
        path.write_bytes(damaged)
        assert any("line" in problem for problem in ledger.verify())
        with pytest.raises(AnimaticError, match="cannot be trusted"):
            ledger.append(draft("ef"))
        assert path.read_bytes() == damaged


def test_a_whole_entry_that_lost_its_newline_and_a_digit_is_not_cut_off(tmp_path: Path) -> None:
    ledger = local_ledger(tmp_path / "registry")
    path = tmp_path / "registry" / "ledger.jsonl"
    content = path.read_bytes()[:-1]
    digit = b"1" if content[-3:-2] == b"0" else b"0"
    for damaged in (content[:-3] + digit + b'"}', content[:-1] + b")", content[:-1]):
        path.write_bytes(damaged)
        assert ledger.verify() != []


@pytest.mark.parametrize("damaged", [b'{"format":2,"seq":Infinity}', b'{"format":' + b"[" * 200_000])
def test_a_line_that_is_no_entry_is_damage_whatever_it_contains(tmp_path: Path, damaged: bytes) -> None:
    ledger = local_ledger(tmp_path / "registry")
    with (tmp_path / "registry" / "ledger.jsonl").open("ab") as file:
        file.write(damaged + b"\n")
    assert ledger.verify() == ["line 6 is not a ledger entry"]


def test_a_registry_that_is_a_file_is_not_an_empty_ledger(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder" / "ledger.jsonl").mkdir(parents=True)
    for name, reason in (("file", "Not a directory"), ("folder", "Is a directory")):
        with pytest.raises(AnimaticError, match=f"ledger.jsonl cannot be read: {reason}"):
            Ledger(tmp_path / name).verify()


def test_a_line_of_format_1_in_another_form_than_it_was_written_is_found(tmp_path: Path) -> None:
    ledger = local_ledger(tmp_path / "registry")
    path = tmp_path / "registry" / "ledger.jsonl"
    content = path.read_bytes()
    for before, after in ((b":3,", b": 3,"), (b":3,", b":3.0,"), (b'"ann"', b'"\\u0061nn"')):
        path.write_bytes(content.replace(before, after, 1))
        assert "line 1 does not match its own hash" in ledger.verify()


def test_an_entry_of_a_newer_format_is_verified_but_answers_no_question(tmp_path: Path) -> None:
    ledger = local_ledger(tmp_path / "registry")
    path = tmp_path / "registry" / "ledger.jsonl"
    last = ledger.entries()[-1]
    newer = draft("ef").entry(last.seq + 1, last.hash, "ef").model_copy(update={"format": FORMAT + 1})
    path.write_bytes(path.read_bytes() + seal(newer)[1] + b"\n")
    assert ledger.verify() == []
    assert ledger.check().head == seal(newer)[0].hash
    for ask in (ledger.entries, lambda: ledger.champion("tiny"), lambda: ledger.append(draft("ef"))):
        with pytest.raises(
            AnimaticError, match=r"line 6 .* was written by a newer version of animatic: update"
        ):
            ask()
    content = path.read_bytes()
    path.write_bytes(content.replace(b'"format":3', b'"format":4'))
    assert ledger.verify() == ["line 6 does not match its own hash"]


def test_fields_that_this_version_does_not_know_are_covered_and_kept(tmp_path: Path) -> None:
    entry = draft("ab", gate=GATE).entry(0, GENESIS, "ab")
    grown = entry.model_copy(update={"reviewer": "bob"})
    path = tmp_path / "ledger.jsonl"
    path.write_bytes(seal(grown)[1] + b"\n")
    ledger = Ledger(tmp_path)
    assert ledger.verify() == []
    assert ledger.entries()[0].model_extra == {"reviewer": "bob"}
    path.write_bytes(path.read_bytes().replace(b'"bob"', b'"eve"'))
    assert ledger.verify() == ["line 1 does not match its own hash"]
