"""What a file system refuses is reported with path, cause and fix."""

import errno
import os
import resource
import shutil
from pathlib import Path

import pytest

from core.disk_errors import explain, explained, explaining_full_disk, real_path, usable_folder
from core.errors import AnimaticError


def test_a_folder_is_created_with_its_parents_and_left_empty(tmp_path):
    folder = usable_folder(tmp_path / "a" / "b")
    assert folder == tmp_path / "a" / "b"
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    "name", ["rün 中文 🎈", "with space", "50%", "a#b", "what?", "new\nline", "-x", "[b]"]
)
def test_unusual_names_are_usable(tmp_path, name):
    assert usable_folder(tmp_path / name).is_dir()


def test_a_path_below_a_file_or_of_a_file(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(AnimaticError, match=r"file/run cannot be written to: Not a directory; choose"):
        usable_folder(tmp_path / "file" / "run")
    with pytest.raises(AnimaticError, match=r"file cannot be written to: File exists; choose"):
        usable_folder(tmp_path / "file")


def test_a_file_system_without_files_of_users():
    with pytest.raises(AnimaticError, match=r"^/proc/run1 cannot be written to: .*; check the path, or"):
        usable_folder(Path("/proc/run1"))


def test_links_in_a_circle(tmp_path):
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    for check in (real_path, usable_folder):
        with pytest.raises(AnimaticError, match=r"lead in a circle; choose another path"):
            check(tmp_path / "a" / "run")


def test_names_that_are_too_long(tmp_path):
    with pytest.raises(AnimaticError, match=r"File name too long; choose a shorter path"):
        usable_folder(tmp_path / ("x" * 300))


@pytest.mark.parametrize(
    ("number", "fix"),
    [
        (errno.EACCES, "Permission denied; change its permissions or choose another path"),
        (errno.EROFS, "Read-only file system; choose another path"),
        (errno.ENOSPC, "No space left on device; free space on its disk, then rerun"),
        (errno.EDQUOT, "Disk quota exceeded; free space or raise the quota, then rerun"),
    ],
)
def test_a_folder_that_takes_no_files(tmp_path, monkeypatch, number, fix):
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    with pytest.raises(AnimaticError, match=f"cannot be written to: {fix}"):
        usable_folder(tmp_path)


def test_a_file_larger_than_the_limit(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        with (tmp_path / "file").open("wb", buffering=0) as file:
            assert file.write(bytes(200)) == 100
            with pytest.raises(OSError, match="File too large") as caught:
                file.write(bytes(200))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    caught.value.filename = "file"
    assert (
        explain(caught.value)
        == "file: File too large; raise the limit on the size of files (ulimit -f), then rerun"
    )


def test_other_errors_stay_as_they_are():
    assert explain(OSError("no number")) is None
    assert explain(OSError(errno.ENOSPC, "without a path")) is None
    assert explain(BrokenPipeError(errno.EPIPE, "Broken pipe", "out")) is None
    with pytest.raises(OSError, match="no number"), explained():
        raise OSError("no number")
    with pytest.raises(AnimaticError, match=r"^out: Permission denied; change"), explained():
        raise PermissionError(errno.EACCES, "Permission denied", "out")


def test_what_is_larger_than_the_free_space_is_named_without_writing_as_much(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[int] = []
    monkeypatch.setattr(os, "posix_fallocate", lambda file, start, size: written.append(size))
    needed = shutil.disk_usage(tmp_path).free + (1 << 34)
    expected = rf"the bundle cannot be written to .*: No space left on device; it needs {needed / 1e9:.3g} GB"
    with (
        pytest.raises(AnimaticError, match=expected),
        explaining_full_disk(tmp_path, "the bundle", needed, "free space"),
    ):
        raise RuntimeError("unexpected pos 64 vs 0")
    assert written == [1 << 20]


def test_a_full_disk_is_stated_although_what_filled_it_is_deleted(tmp_path: Path) -> None:
    expected = (
        "a file cannot be written to .*: No space left on device; it needs 1e-09 GB, .* GB are free; rerun"
    )
    with pytest.raises(AnimaticError, match=expected), explaining_full_disk(tmp_path, "a file", 1, "rerun"):
        raise OSError(errno.ENOSPC, "No space left on device")
