"""A journal in a store is the journal of the run, however many machines have written parts of it."""

from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from training.upload import parts
from training.upload.folder import RemoteFolder
from training.upload.parts import GrowingFile, Part, current_parts, read_parts


@pytest.fixture
def remote() -> RemoteFolder:
    MemoryFileSystem.store.clear()
    return RemoteFolder("memory://run", patience_s=1)


def append(path: Path, text: str) -> Path:
    with path.open("a") as file:
        file.write(text)
    return path


def names(remote: RemoteFolder) -> list[str]:
    return sorted(remote.list("journal.parts"))


def test_the_last_part_is_replaced_until_it_is_full_and_a_torn_line_waits(remote, tmp_path, monkeypatch):
    monkeypatch.setattr(parts, "FULL_BYTES", 8)
    path = tmp_path / "journal"
    file = GrowingFile(remote, "journal", path, writer=2)
    file.flush()
    assert read_parts(remote, "journal") is None
    for text, uploaded in (
        ("one\ntw", {(0, 4)}),
        ("o\n", {(0, 8)}),
        ("three\n", {(0, 8), (8, 14)}),
        ("4\n5\nsix", {(0, 8), (8, 16), (16, 18)}),
    ):
        append(path, text)
        file.flush()
        file.flush()
        assert names(remote) == sorted(str(Part(2, *each)) for each in uploaded)
        whole = path.read_bytes()
        assert read_parts(remote, "journal") == whole[: whole.rfind(b"\n") + 1]


def test_a_restarted_process_of_the_launch_goes_on_with_the_last_part(remote, tmp_path):
    path = append(tmp_path / "journal", "one\n")
    GrowingFile(remote, "journal", path, writer=1).flush()
    append(path, "two\n")
    GrowingFile(remote, "journal", path, writer=1).flush()
    assert names(remote) == [str(Part(1, 0, 8))]


def test_what_an_overtaken_launch_uploads_late_is_cut_off(remote, tmp_path):
    early = append(tmp_path / "early", "one\n")
    overtaken = GrowingFile(remote, "journal", early, writer=1)
    overtaken.flush()
    late = append(tmp_path / "late", "one\n")
    continuing = GrowingFile(remote, "journal", late, writer=2)
    continuing.flush()
    append(early, "two, of a machine that was cut off\n")
    overtaken.flush()
    append(late, "two\n")
    continuing.flush()
    assert read_parts(remote, "journal") == b"one\ntwo\n"


def test_a_part_that_is_replaced_while_it_is_read_is_read_again(remote, tmp_path, monkeypatch):
    path = append(tmp_path / "journal", "one\n")
    file = GrowingFile(remote, "journal", path, writer=1)
    file.flush()
    real = remote.read

    def read(name: str) -> bytes:
        monkeypatch.setattr(remote, "read", real)
        append(path, "two\n")
        file.flush()
        return real(name)

    monkeypatch.setattr(remote, "read", read)
    assert read_parts(remote, "journal") == b"one\ntwo\n"


def test_parts_after_a_missing_one_are_left_out():
    found = [Part(1, 0, 4), Part(1, 8, 12), Part(2, 4, 6)]
    assert current_parts(found) == [Part(1, 0, 4), Part(2, 4, 6)]
    assert Part.parse("00000001-000000000000-000000000004.tmp") is None
