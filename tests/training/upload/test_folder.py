"""Operations on a store that fails for a while, and the comparison of what was uploaded with its source."""

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from core.storage import StoreError, UnavailableError
from training.upload.folder import RemoteFolder


@pytest.fixture
def folder() -> RemoteFolder:
    MemoryFileSystem.store.clear()
    return RemoteFolder("memory://runs/a", patience_s=60)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    return path


def failing(times: int, error: Exception, real: Callable[..., object]) -> Callable[..., object]:
    """``real``, whose first calls raise an error."""
    calls = itertools.count()

    def call(*arguments: object, **options: object) -> object:
        if next(calls) < times:
            raise error
        return real(*arguments, **options)

    return call


def test_files_are_stored_listed_read_and_deleted(folder: RemoteFolder, file: Path, tmp_path: Path) -> None:
    assert folder.list() == {}
    folder.put("x/b.bin", file)
    folder.write("x/y/c.txt", b"c")
    folder.create("d.txt", b"d")
    assert folder.list() == {"x/b.bin": 7, "x/y/c.txt": 1, "d.txt": 1}
    assert folder.list("x") == {"b.bin": 7, "y/c.txt": 1}
    folder.get("x/b.bin", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b"content" and folder.read("d.txt") == b"d"
    folder.delete("d.txt")
    folder.delete_tree("x")
    folder.delete_tree("x")
    assert folder.list() == {}
    with pytest.raises(FileNotFoundError):
        folder.read("d.txt")


def test_an_outage_shorter_than_the_patience_is_waited_for(
    folder: RemoteFolder, file: Path, monkeypatch: pytest.MonkeyPatch, pauses: list[float]
) -> None:
    broken = failing(4, ConnectionResetError("reset"), MemoryFileSystem.put_file)
    monkeypatch.setattr(MemoryFileSystem, "put_file", broken)
    folder.put("a", file)
    assert folder.read("a") == b"content"
    assert len(pauses) == 4 and all(later > earlier for earlier, later in itertools.pairwise(pauses[::2]))


def test_an_outage_longer_than_the_patience_is_an_error_that_names_the_file(
    folder: RemoteFolder, file: Path, monkeypatch: pytest.MonkeyPatch, pauses: list[float]
) -> None:
    monkeypatch.setattr(MemoryFileSystem, "put_file", failing(99, TimeoutError("no answer"), print))
    with pytest.raises(UnavailableError, match=r"memory://runs/a/x/b: no answer"):
        folder.put("x/b", file)
    assert 60 <= sum(pauses) <= 60 + 2 * 30


def test_a_limit_of_patience_ends_what_is_being_tried_again(
    folder: RemoteFolder, file: Path, monkeypatch: pytest.MonkeyPatch, pauses: list[float]
) -> None:
    calls = itertools.count(1)

    def broken(*arguments: object, **options: object) -> None:
        if next(calls) == 3:
            folder.limit_patience(0)
        raise TimeoutError("no answer")

    monkeypatch.setattr(MemoryFileSystem, "put_file", broken)
    for attempts in (3, 1):
        pauses.clear()
        with pytest.raises(UnavailableError, match=r"memory://runs/a/x/b: no answer"):
            folder.put("x/b", file)
        assert len(pauses) == attempts - 1


def test_a_refusal_is_not_tried_again(
    folder: RemoteFolder, file: Path, monkeypatch: pytest.MonkeyPatch, pauses: list[float]
) -> None:
    monkeypatch.setattr(MemoryFileSystem, "put_file", failing(99, PermissionError("AccessDenied"), print))
    with pytest.raises(StoreError, match="AccessDenied"):
        folder.put("a", file)
    assert pauses == []


def test_a_file_that_arrived_in_part_is_uploaded_again(
    folder: RemoteFolder, file: Path, monkeypatch: pytest.MonkeyPatch, pauses: list[float]
) -> None:
    real, calls = MemoryFileSystem.put_file, itertools.count()

    def cutting(self: MemoryFileSystem, lpath: str, rpath: str, **options: object) -> None:
        real(self, lpath, rpath, **options)
        if next(calls) == 0:
            self.pipe_file(rpath, b"con")

    monkeypatch.setattr(MemoryFileSystem, "put_file", cutting)
    folder.put("a", file)
    assert folder.read("a") == b"content" and len(pauses) == 1


def test_an_object_whose_lost_answer_is_asked_for_again_was_created_once(folder: RemoteFolder) -> None:
    folder.create("a", b"mine")
    folder.create("a", b"mine")
    with pytest.raises(FileExistsError):
        folder.create("a", b"another's")
    assert folder.read("a") == b"mine"


def test_credentials_are_not_displayed() -> None:
    assert str(RemoteFolder("memory://user:secret@host/runs", 1)) == "memory://host/runs"
