"""Local folders and object stores alike: files are complete or absent, and errors are not absence."""

import errno
import hashlib
import pickle
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from core.errors import AnimaticError
from core.storage import Folder, StoreError, UnavailableError


@pytest.fixture(params=["local", "store"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Folder]:
    """A folder that does not exist yet, on a disk and in an object store."""
    yield Folder(tmp_path / "data" if request.param == "local" else "memory://data")
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]


def test_what_is_written_is_read(folder: Folder, tmp_path: Path) -> None:
    folder.write("a.txt", b"old")
    folder.write("a.txt", b"content")
    folder.write("units/b.txt", b"bb")
    assert folder.names() == ["a.txt", "units"]
    assert folder.names("units") == ["b.txt"]
    assert folder.sizes() == {"a.txt": 7}
    assert (folder.exists("a.txt"), folder.exists("units")) == (True, False)
    assert (folder.size("units/b.txt"), folder.read("units/b.txt")) == (2, b"bb")
    assert folder.read_range("a.txt", 3, 2) == b"te"
    assert folder.read_range("a.txt", 5, 100) == b"nt"
    with folder.open("a.txt") as file:
        assert file.read() == b"content"
    folder.fetch("a.txt", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b"content"
    assert pickle.loads(pickle.dumps(folder)).names() == ["a.txt", "units"]


def test_a_local_file_is_stored_and_read_through_again(folder: Folder, tmp_path: Path) -> None:
    content = bytes(range(256)) * 4096
    (tmp_path / "source").write_bytes(content)
    folder.store("a/b/c.bin", tmp_path / "source")
    folder.write("a/d", b"dd")
    folder.write("e", b"")
    assert folder.read("a/b/c.bin") == content
    assert folder.sha256("a/b/c.bin") == hashlib.sha256(content).hexdigest()
    assert folder.tree() == {"a/b/c.bin": len(content), "a/d": 2, "e": 0}
    assert folder.tree("a") == {"b/c.bin": len(content), "d": 2}
    for _ in range(2):
        folder.remove_tree("a")
    assert folder.tree() == {"e": 0}
    assert folder.tree("missing") == {}
    with pytest.raises(FileNotFoundError):
        folder.sha256("a/d")


def test_what_is_absent(folder: Folder, tmp_path: Path) -> None:
    assert (folder.exists("a"), folder.size("a"), folder.names(), folder.sizes()) == (False, None, [], {})
    for read in (folder.read, lambda name: folder.read_range(name, 0, 1)):
        with pytest.raises(FileNotFoundError):
            read("a")
    with pytest.raises(FileNotFoundError):
        folder.fetch("a", tmp_path / "copy")
    folder.write("a", b"")
    for _ in range(2):
        folder.remove("a")
    assert not folder.exists("a")


def test_a_file_appears_when_its_writer_is_done(folder: Folder) -> None:
    folder.write("a", b"old")
    with folder.creating("a") as partial:
        partial.write_bytes(b"new")
        assert folder.read("a") == b"old"
    assert folder.read("a") == b"new"
    with pytest.raises(RuntimeError), folder.creating("a") as partial:
        partial.write_bytes(b"half")
        raise RuntimeError
    assert (folder.read("a"), folder.names()) == (b"new", ["a"])


def test_a_store_that_does_not_answer_is_not_an_empty_one(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Folder("memory://data")

    def silence(*_: object, **__: object) -> None:
        raise RuntimeError("no answer")  # the libraries of stores have types of their own

    for call in ("info", "cat_file", "ls"):
        monkeypatch.setattr(MemoryFileSystem, call, silence)
    for ask in (folder.exists, folder.size, folder.read, folder.names):
        with pytest.raises(StoreError, match=r"^memory://data/a: no answer"):
            ask("a")


@pytest.mark.parametrize("mistake", [TypeError("x"), KeyError("x"), AttributeError("x")], ids=repr)
def test_a_mistake_in_the_code_is_no_error_of_the_store(
    monkeypatch: pytest.MonkeyPatch, mistake: Exception
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise mistake

    monkeypatch.setattr(MemoryFileSystem, "cat_file", fail)
    with pytest.raises(type(mistake)):
        Folder("memory://data").read("a")


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (OSError(errno.EBUSY, "SlowDown"), True),
        (ConnectionResetError("reset"), True),
        (TimeoutError("no answer"), True),
        (RuntimeError("of a library"), True),
        (PermissionError("AccessDenied"), False),
        (OSError(errno.EINVAL, "InvalidBucketName"), False),
        (OSError(errno.ENOSPC, "of the local disk"), False),
        (ValueError("a bad key"), False),
    ],
    ids=str,
)
def test_only_what_may_pass_is_temporary(
    monkeypatch: pytest.MonkeyPatch, error: Exception, passes: bool
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(MemoryFileSystem, "cat_file", fail)
    with pytest.raises(StoreError) as caught:
        Folder("memory://data").read("a")
    assert isinstance(caught.value, UnavailableError) is passes


def test_a_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"file/a: (Not a directory|File exists)"):
        Folder(tmp_path / "file").write("a", b"")


def test_a_file_that_cannot_get_its_name_is_named(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.write("a/b", b"")
    with pytest.raises(StoreError, match=r"/a: Is a directory"):
        folder.write("a", b"")
    assert folder.names() == ["a"]


def test_a_url_of_an_unknown_kind_is_named() -> None:
    with pytest.raises(AnimaticError, match="foo://x cannot be opened: Protocol not known"):
        Folder("foo://x")


def test_a_url_without_what_its_protocol_needs_is_named() -> None:
    with pytest.raises(AnimaticError, match=r"github://x cannot be opened: .*missing 2 required"):
        Folder("github://x")


def test_scratch_is_on_the_disk_of_a_local_folder_and_goes_at_the_end(folder: Folder, tmp_path: Path) -> None:
    with folder.scratch() as scratch:
        (scratch / "file").touch()
        parent = folder.local_path or Path(tempfile.gettempdir())
        assert scratch.is_relative_to(parent)
        assert scratch.is_relative_to(tmp_path) == (folder.local_path is not None)
    assert not scratch.exists()


def test_a_folder_that_does_not_exist_has_no_leftovers(folder: Folder) -> None:
    folder.remove_leftovers()
    assert folder.names() == []


def test_leftovers_are_removed_but_not_those_of_another_job(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    for name in ("a", "units/b", "columns/flow/e", "latents/c", "latents/.lock", "run/.writers/1.0"):
        folder.write(name, b"")
    others = ("latents/.c.part-0123abcd", "run/.d.part-0123abcd")
    leftover = ("units/.b.part-0123abcd.json", "columns/flow/.e.part-0123abcd.json")
    for name in (".a.part-0123abcd", *leftover, *others):
        (tmp_path / name).touch()
    (tmp_path / ".scratch" / "animatic-x").mkdir(parents=True)
    folder.remove_leftovers()
    assert folder.names() == ["a", "columns", "latents", "run", "units"]
    assert folder.names("columns/flow") == ["e"]
    assert folder.names("units") == ["b"]
    assert folder.names("latents") == [".c.part-0123abcd", ".lock", "c"]
    assert folder.names("run") == [".d.part-0123abcd", ".writers"]
