"""A ledger on a server that speaks S3: lost answers, changed objects, and the verbs from end to end."""

import json
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from core.errors import AnimaticError
from core.storage import Folder
from models.bundle import open_bundle
from orchestration.registry import Draft, Ledger
from orchestration.workspace import Workspace
from tests.support.bucket import Application, AtomicServer, bucket
from tests.support.command import run
from tests.support.promotions import GATE, evaluated
from tests.support.small_stages import make_bundle

pytestmark = pytest.mark.slow
DRAFT = Draft("promoted", "ab" * 32, Path("bundle"), 3, "tiny", "ann", alias="champion")


class LostAnswers:
    """Executes requests that create an entry, and answers the first ``count`` of them with an error."""

    def __init__(self) -> None:
        self.count, self._lock = 0, threading.Lock()

    def __call__(self, application: Application) -> Application:
        def answering(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            if environ["REQUEST_METHOD"] == "PUT" and "/ledger/" in environ["PATH_INFO"] and self._is_lost():
                application(environ, lambda *_: None)
                start_response("503 Slow Down", [("Content-Length", "0")])
                return [b""]
            return application(environ, start_response)

        return answering

    def _is_lost(self) -> bool:
        with self._lock:
            self.count -= 1
            return self.count >= 0


@pytest.fixture(scope="module")
def answers() -> LostAnswers:
    return LostAnswers()


@pytest.fixture(scope="module")
def store(answers: LostAnswers) -> Iterator[str]:
    with bucket(AtomicServer(answers)) as url:
        yield url


@pytest.mark.parametrize("lost", [1, 3, 7])
def test_an_entry_whose_answers_are_lost_is_recorded_once(
    store: str, answers: LostAnswers, lost: int
) -> None:
    ledger = Ledger(f"{store}/lost-{lost}")
    ledger.append(DRAFT)
    answers.count = lost
    entry = ledger.append(DRAFT)
    assert answers.count < 0
    assert [each.id for each in ledger.entries()][1:] == [entry.id]
    assert ledger.verify() == []


def test_a_changed_or_missing_object_is_found(store: str) -> None:
    ledger = Ledger(f"{store}/changed")
    for _ in range(3):
        ledger.append(DRAFT)
    folder = Folder(f"{store}/changed")
    content = folder.read("ledger/00000001.json")
    for position in range(0, len(content), 41):
        changed = content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :]
        folder.write("ledger/00000001.json", changed)
        assert any("00000001.json" in problem for problem in ledger.verify())
    folder.write("ledger/00000001.json", content)
    assert ledger.verify() == []
    folder.remove("ledger/00000001.json")
    assert "00000001.json is missing" in ledger.verify()


def test_a_bucket_that_does_not_exist_is_an_error_of_one_line(store: str) -> None:
    with pytest.raises(AnimaticError, match="nowhere/registry cannot be written: its bucket does not exist"):
        Ledger("s3://nowhere/registry").append(DRAFT)


def test_the_verbs_work_on_a_registry_in_a_store(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ANIMATIC_RUNS", raising=False)
    monkeypatch.setenv("ANIMATIC_REGISTRY", f"{store}/registry")
    monkeypatch.setattr("orchestration.registry.mirror_change", lambda *_: None)
    (tmp_path / "gate.yaml").write_text(GATE)
    ids = {}
    for seed, name in enumerate(("one", "two")):
        ids[name] = make_bundle(tmp_path / name, seed=seed)
        evaluated(open_bundle(tmp_path / name), Workspace(tmp_path / "runs"))
        promoted = run("promote", name, "--gate", "gate.yaml", "--json")
        assert promoted.exit_code == 0, promoted.output
        # The champion's report is then read from the registry alone.
        for report in (tmp_path / "runs" / "evaluations").glob("*/report.json"):
            report.unlink()
    decision = json.loads(promoted.stdout)["gate"]
    assert (decision["outcome"], decision["champion_bundle"]) == ("PASS", ids["one"])
    assert run("rollback").exit_code == 0
    assert not (tmp_path / "runs" / "ledger.jsonl").exists()
    verified = run("registry", "verify")
    assert verified.exit_code == 0, verified.output
    assert f"{store}/registry/ledger is intact: 5 entries" in verified.stdout
    log = json.loads(run("registry", "log", "champion", "--json").stdout)
    assert (log["bundle_id"], log["bundle_path"]) == (ids["one"], str(tmp_path / "one"))
    Folder(f"{store}/registry").write(f"promotions/gate-{decision['gate']}.json", b"{}")
    assert run("registry", "verify").exit_code == 1
