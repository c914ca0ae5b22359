"""A ledger in an object store: of two writers one wins, and lost answers lose and double nothing."""

import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from core.errors import AnimaticError
from core.storage import Folder, UnavailableError
from orchestration.registry import Draft, Entry, Evidence, History, Ledger
from orchestration.registry.object_store import ObjectStore
from orchestration.workspace import Workspace

DRAFT = Draft("promoted", "ab" * 32, Path("bundle"), 3, "tiny", "ann", alias="champion")


class Unreliable(Folder):
    """A folder that loses the answers of its first ``losses`` creations, before or after they are made."""

    def __init__(self, url: str, losses: int, made: bool) -> None:
        super().__init__(url)
        self.losses, self.made = losses, made

    def create(self, name: str, data: bytes) -> None:
        if self.losses == 0:
            super().create(name, data)
            return
        self.losses -= 1
        if self.made:
            super().create(name, data)
        raise UnavailableError("no answer")


class Unconditional(Folder):
    """A store that ignores the condition of a creation."""

    def create(self, name: str, data: bytes) -> None:
        self.write(name, data)


@pytest.fixture
def url() -> str:
    return f"memory://{uuid.uuid4().hex}"


@pytest.fixture(autouse=True)
def without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda _: None)


def ledger_in(folder: Folder) -> Ledger:
    return Ledger(folder.url, ObjectStore(folder))


def test_an_entry_is_one_object_and_a_bundle_s_path_is_absolute(url: str) -> None:
    ledger = ledger_in(Folder(url))
    entries = [ledger.append(DRAFT), ledger.append(DRAFT)]
    assert ledger.folder.names("ledger") == ["00000000.json", "00000001.json"]
    assert ledger.entries() == entries
    assert entries[0].id != entries[1].id
    assert ledger.path_of(entries[0]) == Path("bundle").resolve()
    assert ledger.base is None and ledger.verify() == []


def test_of_writers_at_the_same_time_each_adds_its_entry_once(url: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        added = list(pool.map(lambda _: ledger_in(Folder(url)).append(DRAFT), range(24)))
    ledger = ledger_in(Folder(url))
    assert ledger.verify() == []
    assert {entry.id for entry in ledger.entries()} == {entry.id for entry in added}
    assert len(ledger.entries()) == 24


def test_a_writer_that_was_not_first_decides_again_from_the_new_entries(url: str) -> None:
    ledger, seen = ledger_in(Folder(url)), []

    def decide(history: History) -> Draft | Entry:
        seen.append(len(history.entries()))
        if len(seen) == 1:
            ledger_in(Folder(url)).append(DRAFT)
        return history.champion("tiny") or DRAFT

    assert ledger.update(decide) == ledger.entries()[0]
    assert seen == [0, 1]


@pytest.mark.parametrize("made", [True, False])
@pytest.mark.parametrize("before", [0, 2])
def test_an_entry_whose_answer_is_lost_is_recorded_once(url: str, made: bool, before: int) -> None:
    for _ in range(before):
        ledger_in(Folder(url)).append(DRAFT)
    ledger = ledger_in(Unreliable(url, losses=3, made=made))
    entry = ledger.append(DRAFT)
    assert ledger.verify() == []
    assert [each.id for each in ledger.entries()].count(entry.id) == 1
    assert len(ledger.entries()) == before + 1


def test_a_store_that_never_answers_leaves_the_outcome_open_and_says_so(url: str) -> None:
    ledger = ledger_in(Unreliable(url, losses=100, made=False))
    with pytest.raises(UnavailableError, match="it is unknown whether the entry was recorded; look with"):
        ledger.append(DRAFT)
    ledger_in(Folder(url)).append(DRAFT)
    assert len(ledger.entries()) == 1 and ledger.verify() == []


def test_a_store_that_creates_an_object_twice_is_refused(url: str) -> None:
    ledger = ledger_in(Unconditional(url))
    with pytest.raises(AnimaticError, match=r"ignores the condition of a write .* nothing was recorded"):
        ledger.append(DRAFT)
    assert ledger.entries() == []


@pytest.mark.parametrize("location", ["memory://x", "ftp://host/x", "https://user:pw@host/x"])
def test_stores_without_a_conditional_write_are_refused_by_name(location: str) -> None:
    with pytest.raises(AnimaticError, match=r"a ledger cannot be in (memory|ftp|https)://(x|host)") as caught:
        Workspace(Path("runs"), location).ledger  # noqa: B018
    assert "pw" not in str(caught.value)


def test_a_registry_whose_url_has_a_password_is_refused_without_it() -> None:
    with pytest.raises(AnimaticError, match=r"no password.*: s3://bucket/x is enough") as caught:
        Workspace(Path("runs"), "s3://key:hunter2@bucket/x").ledger  # noqa: B018
    assert "hunter2" not in str(caught.value)


def test_a_registry_may_be_elsewhere_than_the_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for registry in (str(tmp_path / "registry"), f"file://{tmp_path}/registry"):
        monkeypatch.setenv("ANIMATIC_REGISTRY", registry)
        ledger = Workspace.current().ledger
        ledger.append(DRAFT)
    assert len((tmp_path / "registry" / "ledger.jsonl").read_text().splitlines()) == 2


def test_evidence_in_a_store_is_fetched_to_be_read(url: str, tmp_path: Path) -> None:
    evidence = Evidence(Folder(url))
    missing = evidence.local("gate", "a" * 64, tmp_path)
    assert not missing.exists()
    evidence.keep("gate", "a" * 64, b"{}")
    local = evidence.local("gate", "a" * 64, tmp_path)
    assert (local.read_bytes(), local) == (b"{}", tmp_path / "promotions" / f"gate-{'a' * 64}.json")


def test_no_secret_of_a_url_gets_into_an_entry(tmp_path: Path) -> None:
    secret = "https://key:hunter2@host/x?token=hunter2"
    for kind in ("exported", "deployed"):
        draft = Draft(kind, "ab" * 32, Path("b"), 3, "tiny", note=secret, forced=secret, location=secret)
        Ledger(tmp_path).append(draft)
    assert b"hunter2" not in (tmp_path / "ledger.jsonl").read_bytes()


def test_numbers_of_nine_digits_follow_those_of_eight(url: str) -> None:
    store = ObjectStore(Folder(url))
    for name in ("99999999.json", "100000000.json", "notes.txt"):
        store.folder.write(f"ledger/{name}", name.encode())
    assert store.read().names == ("99999999.json", "100000000.json")
