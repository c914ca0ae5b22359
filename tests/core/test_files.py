"""A name holds its old content or all of the new, whatever becomes of the writer."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from core import files
from core.canonical_json import digest_of
from core.files import (
    atomic_file,
    atomic_folder,
    content_digests,
    move_into_place,
    remove_partials,
    remove_partials_of,
    sha256,
    write_text,
)
from tests.support.paths import ROOT

KILLED_WRITER = """
import os, signal, sys
from pathlib import Path
from core import files

path = Path(sys.argv[1])
with getattr(files, sys.argv[2])(path) as partial:
    (partial / "inner" if partial.is_dir() else partial).write_text("half of the new content")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def names(folder: Path) -> list[str]:
    """Everything in a folder, hidden files too."""
    return sorted(path.name for path in folder.iterdir())


def kill_writer(path: Path, writer: str) -> None:
    """Start to write ``path`` in a process that is killed before it is done."""
    command = [sys.executable, "-c", KILLED_WRITER, str(path), writer]
    killed = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False)
    assert killed.returncode == -signal.SIGKILL


def test_a_file_is_replaced_when_its_writer_is_done(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "state.json"
    for content in ("old", "new"):
        with atomic_file(path) as partial:
            partial.write_text(content)
            assert partial.suffix == ".json"
            assert not path.exists() or path.read_text() == "old"
        assert path.read_text() == content
        assert names(path.parent) == ["state.json"]


@pytest.mark.parametrize("name", ["n" * 251 + ".mp4", "é" * 127, "." + "中" * 84])
def test_a_name_may_be_as_long_as_file_systems_allow(tmp_path: Path, name: str) -> None:
    with atomic_file(tmp_path / name) as partial:
        partial.write_text("whole")
        assert partial.name.endswith(Path(name).suffix)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_writer_that_raises_changes_nothing(tmp_path: Path) -> None:
    write_text(tmp_path / "state", "old")
    with pytest.raises(RuntimeError), atomic_file(tmp_path / "state") as partial:
        partial.write_text("half")
        raise RuntimeError
    with pytest.raises(RuntimeError), atomic_folder(tmp_path / "folder") as partial:
        (partial / "inner").write_text("half")
        raise RuntimeError
    assert names(tmp_path) == ["state"]
    assert (tmp_path / "state").read_text() == "old"


@pytest.mark.parametrize("writer", ["atomic_file", "atomic_folder"])
def test_a_killed_writer_leaves_only_a_partial_that_can_be_removed(tmp_path: Path, writer: str) -> None:
    write_text(tmp_path / "other", "old")
    kill_writer(tmp_path / "target", writer)
    assert not (tmp_path / "target").exists()
    assert len(names(tmp_path)) == 2
    remove_partials(tmp_path)
    assert names(tmp_path) == ["other"]


def test_a_killed_writer_leaves_the_old_file(tmp_path: Path) -> None:
    write_text(tmp_path / "state", "old")
    kill_writer(tmp_path / "state", "atomic_file")
    assert (tmp_path / "state").read_text() == "old"


def test_a_folder_appears_with_all_that_is_in_it_and_replaces_none(tmp_path: Path) -> None:
    with atomic_folder(tmp_path / "a" / "folder") as partial:
        (partial / "deep").mkdir()
        (partial / "deep" / "file").write_text("content")
        assert not (tmp_path / "a" / "folder").exists()
    assert (tmp_path / "a" / "folder" / "deep" / "file").read_text() == "content"
    with pytest.raises(FileExistsError), atomic_folder(tmp_path / "a" / "folder"):
        pytest.fail("the block must not run")


def test_of_two_writers_of_a_folder_the_second_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileExistsError), atomic_folder(tmp_path / "folder") as partial:
        (partial / "file").write_text("second")
        with atomic_folder(tmp_path / "folder") as first:
            (first / "file").write_text("first")
    assert (tmp_path / "folder" / "file").read_text() == "first"
    assert list(tmp_path.iterdir()) == [tmp_path / "folder"]


def test_a_folder_that_appears_just_before_the_rename_is_kept(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "folder"

    def created_meanwhile(partial: Path, target: Path) -> None:
        target.mkdir()
        (target / "file").write_text("first")
        move_into_place(partial, target)

    monkeypatch.setattr("core.files.move_into_place", created_meanwhile)
    with pytest.raises(FileExistsError), atomic_folder(path) as partial:
        (partial / "file").write_text("second")
    assert (path / "file").read_text() == "first"


@pytest.mark.parametrize("name", ["model", "v1.2", "n" * 255])
def test_what_killed_writers_left_of_one_path_is_deleted(tmp_path: Path, name: str) -> None:
    with atomic_folder(tmp_path / name) as partial:
        left = partial.name
    kept = [tmp_path / name, tmp_path / f"{left[:-1]}x", tmp_path / ".v1.part-0123abcd.3"]
    for path in (tmp_path / left, *kept[1:]):
        path.mkdir()
    remove_partials_of(tmp_path / name)
    assert sorted(tmp_path.iterdir()) == sorted(kept)


def test_content_is_on_disk_before_its_name_and_the_name_when_the_block_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[tuple[str, str]] = []
    replace = Path.replace
    monkeypatch.setattr("core.files.sync", lambda path: steps.append(("sync", path.suffix or path.name)))
    monkeypatch.setattr(
        Path, "replace", lambda self, target: steps.append(("rename", target.name)) or replace(self, target)
    )
    write_text(tmp_path / "a.txt", "x")
    assert steps == [("sync", ".txt"), ("rename", "a.txt"), ("sync", tmp_path.name)]


def test_the_digest_of_a_file(tmp_path: Path) -> None:
    write_text(tmp_path / "abc", "abc")
    assert sha256(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_the_digest_of_a_folder_is_of_names_and_contents(tmp_path: Path) -> None:
    for name in ("b/c", "a"):
        (tmp_path / "one" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "one" / name).write_text(name)
    listed = [[name, sha256(tmp_path / "one" / name)] for name in ("a", "b/c")]
    paths = {"file": tmp_path / "one" / "a", "folder": tmp_path / "one"}
    first = content_digests(paths)
    assert first == {"file": sha256(tmp_path / "one" / "a"), "folder": digest_of(listed)}
    (tmp_path / "one" / "b" / "c").rename(tmp_path / "one" / "b" / "d")
    assert content_digests(paths)["folder"] != first["folder"]


def test_large_files_are_read_with_progress(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "BLOCK", 1_999_999)
    for name, size in (("large", 5_000_000), ("small", 1_000_000)):
        (tmp_path / name).write_bytes(os.urandom(size))
    paths = {name: tmp_path / name for name in ("large", "small")}
    progress: list[tuple[int, int]] = []
    found = content_digests(paths, lambda done, total: progress.append((done, total)))
    assert progress == [(1, 6), (3, 6)]
    assert found == {name: sha256(path) for name, path in paths.items()}
