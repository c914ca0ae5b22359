"""A run is continued on another machine from what its folder in a store has."""

from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from core.errors import AnimaticError
from core.fencing import take_token
from core.storage import UnavailableError
from tests.support.small_stages import make_bundle
from tests.support.training_jobs import small_config
from training import events
from training.config import RunConfig, dump_yaml
from training.journal import Journal, read_journal
from training.run_folder import RunFolder
from training.upload.folder import RemoteFolder
from training.upload.joining import join_run
from training.upload.run_files import Upload

URL = "memory://run"
CONFIG = small_config(0, f"upload.url={URL}", "upload.patience_s=1")


class Machine:
    """A machine with a run folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.launch = RunFolder(folder), 0

    def start(self, launcher: str, config: RunConfig = CONFIG) -> int:
        """Join the run, and write its configuration."""
        self.launch = join_run(self.folder, launcher, config)
        self.folder.config.write_text(dump_yaml(config))
        return self.launch

    def record(self, *messages: str) -> None:
        """Write lines to the journal, as an attempt of its own."""
        journal = Journal(self.folder.journal, take_token(self.folder.writers, self.launch, "test"))
        for message in messages:
            journal.record(1, events.Warned(message))
        journal.close()

    def upload(self) -> None:
        Upload(self.folder, RemoteFolder(URL, 1), self.launch).flush(last=True)

    @property
    def messages(self) -> list[str]:
        return [entry.content["message"] for entry in read_journal(self.folder.journal)]


@pytest.fixture
def machines(tmp_path: Path) -> tuple[Machine, Machine]:
    MemoryFileSystem.store.clear()
    return Machine(tmp_path / "one"), Machine(tmp_path / "two")


def test_another_machine_continues_journal_samples_and_numbers(machines):
    one, two = machines
    assert one.start("a") == 1
    one.record("first")
    (one.folder.samples).mkdir()
    (one.folder.samples / "step-1.mp4").write_bytes(b"sample")
    one.upload()

    assert two.start("b") == 2
    assert (two.folder.samples / "step-1.mp4").read_bytes() == b"sample"
    two.record("second")  # under a higher number, or readers would leave it out
    assert two.messages == ["first", "second"]
    two.upload()

    assert one.start("c") == 3
    assert one.messages == ["first", "second"]


def test_a_restart_by_the_launcher_keeps_its_number_without_asking_the_store(machines, monkeypatch):
    one, _ = machines
    assert one.start("a") == 1

    def refuse(*_: object) -> None:
        raise UnavailableError("down")

    monkeypatch.setattr(RemoteFolder, "list", refuse)
    assert one.start("a") == 1


def test_lines_that_never_reached_the_store_stay_where_no_other_machine_went_on(machines):
    one, _ = machines
    one.start("a")
    one.record("first")
    one.upload()
    one.record("second")  # killed before the next upload
    assert one.start("b") == 2
    assert one.messages == ["first", "second"]


def test_where_another_machine_went_on_its_journal_counts_and_the_own_one_is_kept_beside(machines):
    one, two = machines
    one.start("a")
    one.record("first")
    one.upload()
    one.record("lost")
    two.start("b")
    two.record("second")
    two.upload()
    assert one.start("c") == 3
    assert one.messages == ["first", "second"]
    [kept] = one.folder.path.glob("journal.jsonl.before-*")
    assert b"lost" in kept.read_bytes()


def test_a_finished_run_is_copied_with_its_bundle_which_is_verified(machines):
    one, two = machines
    one.start("a")
    make_bundle(one.folder.bundle)
    one.upload()
    two.start("b")
    first, second = ((each.folder.bundle / "bundle.json").read_bytes() for each in machines)
    assert first == second

    damaged = Machine(one.folder.path.with_name("three"))
    MemoryFileSystem.store["/run/bundle/model.safetensors"].write(b"damaged")
    with pytest.raises(AnimaticError):
        damaged.start("c")
    assert not damaged.folder.bundle.exists()


def test_the_folder_of_another_run_is_refused(machines):
    one, two = machines
    one.start("a")
    one.upload()
    other = small_config(0, f"upload.url={URL}", "seed=1")
    with pytest.raises(AnimaticError, match=r"memory://run contains a run of other settings \(stage 0"):
        two.start("b", other)


def test_a_store_that_does_not_answer_at_the_start_is_an_error_that_names_it(machines, monkeypatch):
    one, _ = machines

    def refuse(*_: object) -> None:
        raise UnavailableError("memory://run: down")

    monkeypatch.setattr(RemoteFolder, "list", refuse)
    reported: list[str] = []
    with pytest.raises(AnimaticError, match=r"memory://run: down: upload\.url does not answer"):
        join_run(one.folder, "a", CONFIG, reported.append)
    assert reported == ["memory://run: down: trying again for 1 s (upload.patience_s)"]
