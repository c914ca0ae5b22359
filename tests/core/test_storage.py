"""Folders near and far: what cannot be read or written is told in one line, and is not taken for absent."""

from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from core.errors import AnimaticError
from core.storage import Folder, StoreError


def test_what_is_absent_is_told_from_what_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not Folder(tmp_path / "none").exists("a")
    assert Folder(tmp_path / "none").names() == []
    with pytest.raises(FileNotFoundError):
        Folder(tmp_path).read("a")
    away = Folder("memory://data")
    assert not away.exists("a")

    def silence(*_: object, **__: object) -> None:
        raise RuntimeError("no answer")  # the libraries of stores have types of their own

    for call in ("info", "cat_file", "ls"):
        monkeypatch.setattr(MemoryFileSystem, call, silence)
    for ask in (away.exists, away.size, away.read, away.names):
        with pytest.raises(StoreError, match=r"^memory://data/a: no answer"):
            ask("a")


def test_a_file_in_the_place_of_a_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    folder = Folder(tmp_path / "file")
    with pytest.raises(AnimaticError, match=r"file/a: (Not a directory|File exists)"):
        folder.write("a", b"")


def test_a_place_that_nothing_here_can_open_is_named() -> None:
    with pytest.raises(AnimaticError, match="foo://x cannot be opened: Protocol not known"):
        Folder("foo://x")
