"""An attempt that goes on after a later one has taken over leaves all files of that one as they are."""

import itertools
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

import training.checkpoints.store as store_module
from core.fencing import SupersededError, Token, register_launch, superseding, take_token
from core.files import remove_partials
from models.bundle import BundleOrigin, open_bundle, write_bundle
from tests.support.checkpoint_states import Number, open_store
from tests.support.small_stages import small_config
from training.checkpoints import find_damage, read_manifest
from training.checkpoints.manifest import FileRecord
from training.checkpoints.snapshot import state_of
from training.checkpoints.state import Pieces
from training.events import Warned
from training.journal import Journal, read_journal
from training.run_folder import RunFolder

CONFIG = small_config(0)
WEIGHTS = {"weight": torch.zeros(2)}


@dataclass
class Attempt:
    """What the first process of a run does with its folder, without the training."""

    folder: RunFolder
    name: str
    token: Token
    keep: int

    @classmethod
    def begin(cls, run: Path, name: str, keep: int = 1) -> "Attempt":
        folder = RunFolder(run)
        launch = register_launch(folder.writers, name)
        return cls(folder, name, take_token(folder.writers, launch, name), keep)

    def work(self, steps: int) -> None:
        """Resume, save a checkpoint after each step with a line in the journal, and publish the bundle."""
        token = self.token
        journal = Journal(self.folder.journal, token)
        store = open_store(self.folder.checkpoints, self.keep, token)
        newest = store.newest(lambda _: None)
        begun = newest.step if newest else 0
        with superseding(token):
            remove_partials(self.folder.path, before=token.check)
        for step in range(begun + 1, begun + steps + 1):
            store.save(step, state_of([Number(word=self.name)]))
            journal.record(step, Warned(self.name))
        with superseding(token):
            self._publish(token.check)
        journal.close()

    def _publish(self, before_commit: Callable[[], None]) -> None:
        if self.folder.bundle.exists():
            return
        write_bundle(
            self.folder.bundle,
            WEIGHTS,
            BundleOrigin(
                architecture=CONFIG.model,
                stage=0,
                preset=self.name,
                config_hash="c",
                dataset_digest="d",
                parent=None,
            ),
            model_card=self.name,
            before_commit=before_commit,
        )


class Interleaving:
    """Calls ``act`` once, just before this process's ``at``-th access to a file or folder below ``root``."""

    current: "Interleaving | None" = None

    def __init__(self, root: Path, at: int, act: Callable[[], None]) -> None:
        self._root, self._at, self._act, self._seen = str(root), at, act, 0
        self.acted = False

    def see(self, event: str, arguments: tuple[object, ...]) -> None:
        if self.acted or not any(str(argument).startswith(self._root) for argument in arguments):
            return
        self._seen += 1
        if self._seen > self._at:
            self.acted = True
            self._act()


def _audit(event: str, arguments: tuple[object, ...]) -> None:
    if Interleaving.current is not None and event.partition(".")[0] in ("open", "os", "shutil"):
        Interleaving.current.see(event, arguments)


@pytest.fixture(scope="module", autouse=True)
def audited():
    """Hooks cannot be removed; this one does nothing without a current interleaving."""
    sys.addaudithook(_audit)


def interleaved(run: Path, at: int) -> bool:
    """Let a later attempt do all its work at a moment of an earlier one, and check its files at the end.

    False where the earlier one had ended before.
    """
    early = Attempt.begin(run, "early")
    open_store(RunFolder(run).checkpoints, 1).save(1, state_of([Number(word="before")]))
    files: dict[Path, bytes] = {}

    def take_over() -> None:
        late = Attempt.begin(run, "late", keep=3)
        late.work(2)
        kept = [
            run / "bundle",
            *(path for path in (run / "checkpoints").glob("step-*") if word(path) == "late"),
        ]
        for path in (inner for folder in kept for inner in folder.rglob("*") if inner.is_file()):
            files[path] = path.read_bytes()

    interleaving = Interleaving.current = Interleaving(run, at, take_over)
    try:
        early.work(3)
    except SupersededError:
        assert interleaving.acted
    finally:
        Interleaving.current = None
    if not interleaving.acted:
        return False
    assert {path: path.read_bytes() for path in files} == files
    checkpoint = run / "checkpoints"
    late = [path for path in checkpoint.iterdir() if word(path) == "late"]
    assert late and all(find_damage(path) is None for path in late)
    open_bundle(run / "bundle", verify=True)
    lines = [entry.content["message"] for entry in read_journal(run / "journal.jsonl")]
    assert lines[-2:] == ["late", "late"]
    return True


def test_an_attempt_that_another_overtakes_at_any_access_to_a_file_leaves_the_files_of_that_one(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(os, "fsync", lambda _: None)
    moments = 0
    for at in itertools.count():
        if not interleaved(tmp_path / str(at), at):
            break
        moments += 1
    assert moments > 50


def test_an_attempt_that_was_overtaken_writes_nothing_more(tmp_path):
    early = Attempt.begin(tmp_path, "early")
    journal = Journal(early.folder.journal, early.token)
    store = open_store(early.folder.checkpoints, 1, early.token)
    store.save(1, state_of([Number(word="early")]))
    Attempt.begin(tmp_path, "late").work(1)
    before = contents(tmp_path)
    journal.record(2, Warned("early"))
    with pytest.raises(SupersededError, match=r"was taken over by attempt 2\.1"):
        store.save(2, state_of([Number(word="early")]))
    with pytest.raises(SupersededError):
        store.newest(pytest.fail)
    with pytest.raises(SupersededError):
        Journal(early.folder.journal, early.token)
    assert contents(tmp_path) == before


def test_an_attempt_that_was_overtaken_writes_no_shard(tmp_path, monkeypatch):
    monkeypatch.setattr(store_module, "write_shard", lambda *_: pytest.fail("a shard was written"))
    early = Attempt.begin(tmp_path, "early")
    Attempt.begin(tmp_path, "late")
    store = open_store(early.folder.checkpoints, 1, early.token)
    with pytest.raises(SupersededError):
        store.save(1, state_of([Number()]))


def test_a_checkpoint_records_which_attempt_wrote_it(tmp_path):
    attempt = Attempt.begin(tmp_path, "early")
    store = open_store(attempt.folder.checkpoints, 1, attempt.token)
    saved = store.save(1, state_of([Number(word="early")]))
    assert read_manifest(saved.path).attempt == str(attempt.token.number) == "1.1"


def test_an_attempt_that_is_overtaken_while_it_saves_leaves_no_checkpoint(tmp_path, monkeypatch):
    real = store_module.write_shard

    def overtaken(path: Path, pieces: Pieces) -> FileRecord:
        Attempt.begin(tmp_path, "late")
        return real(path, pieces)

    monkeypatch.setattr(store_module, "write_shard", overtaken)
    early = Attempt.begin(tmp_path, "early")
    store = open_store(early.folder.checkpoints, 1, early.token)
    with pytest.raises(SupersededError):
        store.save(1, state_of([Number()]))
    assert list(early.folder.checkpoints.iterdir()) == []


def test_lines_that_an_overtaken_attempt_still_wrote_are_not_read(tmp_path):
    path = tmp_path / "run" / "journal.jsonl"
    tokens = []
    for name in ("early", "late"):
        launch = register_launch(tmp_path / "writers", name)
        tokens.append(take_token(tmp_path / "writers", launch, name))
        Journal(path, tokens[-1]).record(1, Warned(name))
    with path.open("a") as file:
        file.write(path.read_text().splitlines()[0] + "\n")
    assert [entry.content["message"] for entry in read_journal(path)] == ["early", "late"]


def word(checkpoint: Path) -> object:
    """Of the attempt that wrote a checkpoint; None where it is not complete."""
    if not (checkpoint / "manifest.json").exists():
        return None
    return read_manifest(checkpoint).counters["number/word"]


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
