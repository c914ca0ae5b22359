"""The records of a run reach its folder in a store while it trains, and outages only delay them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from core.fencing import SupersededError, register_launch, take_token
from core.journal import JournalWriter
from core.storage import UnavailableError
from tests.support.bucket import AtomicServer, bucket
from tests.support.small_stages import make_bundle
from tests.support.waiting import wait_until
from training.run_folder import RunFolder
from training.upload import run_files
from training.upload.folder import RemoteFolder
from training.upload.parts import read_parts
from training.upload.run_files import RunFiles, Upload
from training.upload.writers import Writers


@pytest.fixture
def remote() -> RemoteFolder:
    MemoryFileSystem.store.clear()
    return RemoteFolder("memory://run", patience_s=0)


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """A run that has begun."""
    found = RunFolder(tmp_path / "run")
    for path in (found.config, found.environment, found.samples / "step-1.mp4", found.logs / "rank-0.log"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{path.name}\n")
    record(found, "start")
    return found


def record(folder: RunFolder, event: str) -> None:
    with JournalWriter(folder.journal) as journal:
        journal.append({"event": event})


def journal(remote: RemoteFolder) -> str:
    return (read_parts(remote, "journal.jsonl") or b"").decode()


def running(folder: RunFolder, remote: RemoteFolder, monkeypatch: pytest.MonkeyPatch) -> RunFiles:
    for name, seconds in (("EVERY_S", 0.01), ("STOP_S", 0.2), ("OPERATION_S", 1.0)):
        monkeypatch.setattr(run_files, name, seconds)
    launch = register_launch(folder.writers, "test")
    token = take_token(folder.writers, launch, "test")
    return RunFiles(Upload(folder, remote, launch), remote, token, patience_s=0.2)


def test_records_and_at_last_the_bundle_are_uploaded_each_once(folder, remote, monkeypatch):
    puts: list[str] = []
    real = RemoteFolder.put

    def put(self: RemoteFolder, name: str, path: Path) -> None:
        puts.append(name)
        real(self, name, path)

    monkeypatch.setattr(RemoteFolder, "put", put)
    upload = Upload(folder, remote, 1)
    upload.flush()
    assert sorted(remote.list("samples")) == ["step-1.mp4"]
    assert remote.read("config.yaml") == b"config.yaml\n" and read_parts(remote, "logs/rank-0.log")
    make_bundle(folder.bundle)
    record(folder, "end")
    upload.flush(last=True)
    Upload(folder, remote, 1).flush(last=True)  # of a process that was started again
    assert len(puts) == len(set(puts)) and puts[-1] == "bundle/bundle.json"
    assert journal(remote) == folder.journal.read_text()
    folder.config.write_text("changed\n")
    upload.flush()
    assert remote.read("config.yaml") == b"changed\n"


def test_an_outage_is_noticed_once_and_what_is_missing_follows(folder, remote, monkeypatch):
    down = [True]
    real = RemoteFolder.write

    def write(self: RemoteFolder, name: str, data: bytes) -> None:
        if down[0]:
            raise UnavailableError("the store is down")
        real(self, name, data)

    monkeypatch.setattr(RemoteFolder, "write", write)
    notices: list[str] = []
    with running(folder, remote, monkeypatch) as files:
        wait_until(lambda: notices.extend(files.notices()) or notices)
        assert "do not reach memory://run: the store is down; training goes on" in notices[0]
        down[0] = False
        wait_until(lambda: notices.extend(files.notices()) or len(notices) > 1)
        record(folder, "stop")
    assert [text.rpartition(" ")[2] for text in notices[1:]] == ["again"]
    assert journal(remote) == folder.journal.read_text()


def test_the_end_of_a_run_waits_for_a_store_that_is_down_no_longer_than_it_should(
    folder, remote, monkeypatch, caplog
):
    def write(*_: object) -> None:
        raise UnavailableError("the store is down")

    monkeypatch.setattr(RemoteFolder, "write", write)
    with running(folder, remote, monkeypatch):
        pass
    assert "do not reach memory://run" in caplog.text


def test_a_run_that_is_stopped_in_an_outage_makes_one_more_attempt(folder, remote, monkeypatch):
    at_the_end = []

    def flush(upload: Upload, *, last: bool = False) -> None:
        at_the_end.extend([last] if last else [])
        raise UnavailableError("the store is down")

    monkeypatch.setattr(Upload, "flush", flush)
    with pytest.raises(InterruptedError), running(folder, remote, monkeypatch) as files:
        wait_until(files.notices)
        raise InterruptedError
    assert at_the_end == [True]


def test_a_launch_that_another_machine_has_overtaken_uploads_nothing_more(folder, remote, monkeypatch):
    with running(folder, remote, monkeypatch) as files:
        wait_until(lambda: journal(remote))
        assert Writers(remote).register(2, "another machine")
        notices: list[str] = []
        wait_until(lambda: notices.extend(files.notices()) or notices)
        record(folder, "stop")
    assert "memory://run was taken over by launch 2 (process" in notices[0]
    assert "this run uploads nothing more" in notices[0]
    assert "stop" not in journal(remote)


@pytest.fixture
def s3() -> Iterator[str]:
    with bucket(AtomicServer()) as url:
        yield url


def test_in_s3_one_of_two_launches_gets_a_number_and_records_are_complete(folder, s3):
    remote = RemoteFolder(f"{s3}/run", patience_s=5)
    writers = Writers(remote)
    assert writers.highest() == 0
    assert [writers.register(1, name) for name in ("a", "b")] == [True, False]
    assert writers.register(2, "b") and writers.highest() == 2
    with pytest.raises(SupersededError, match=r"was taken over by launch 2 \(process \d+ on "):
        Upload(folder, remote, 1).flush()
    make_bundle(folder.bundle)
    Upload(folder, remote, 2).flush(last=True)
    assert journal(remote) == folder.journal.read_text()
    assert remote.has("bundle/model.safetensors", folder.bundle / "model.safetensors")
