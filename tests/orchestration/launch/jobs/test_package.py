"""A job's code: exactly the tracked files, as they are on disk."""

import subprocess
import zipfile
from pathlib import Path

import pytest

from core.errors import AnimaticError
from orchestration.launch.jobs import collect_code, package
from tests.support.paths import ROOT


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(
        ["git", "-C", folder, "-c", "user.name=a", "-c", "user.email=a@b", *arguments],
        check=True,
        capture_output=True,
    )


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    root = tmp_path / "check out"
    (root / "core").mkdir(parents=True)
    (root / "core" / "code.py").write_text("a = 1\n")
    (root / "core" / "gone.py").write_text("b = 1\n")
    (root / "été.txt").write_text("é")
    (root / "run.sh").write_text("#!/bin/sh\n")
    (root / "run.sh").chmod(0o755)
    (root / ".gitignore").write_text("runs/\nsecret.env\n")
    git(root, "init", "-q")
    git(root, "add", ".")
    git(root, "commit", "-qm", "first")
    (root / "runs").mkdir()
    (root / "runs" / "large.bin").write_bytes(b"x")
    (root / "secret.env").write_text("AWS_SECRET_ACCESS_KEY=x")
    return root


def test_tracked_files_are_sent_as_they_are_on_disk_and_nothing_else(checkout: Path, tmp_path: Path) -> None:
    (checkout / "core" / "code.py").write_text("a = 2\n")
    (checkout / "core" / "gone.py").unlink()
    (checkout / "core" / "added.py").write_text("c = 1\n")
    (checkout / "core" / "forgotten.py").write_text("d = 1\n")
    (checkout / "notes.txt").write_text("private")
    git(checkout, "add", "core/added.py")
    code = collect_code(checkout)
    assert code.files == (".gitignore", "core/added.py", "core/code.py", "run.sh", "été.txt")
    assert code.version.endswith(".dirty")
    assert code.left_out == ("core/forgotten.py",)
    code.write_zip(tmp_path / "code.zip")
    with zipfile.ZipFile(tmp_path / "code.zip") as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
        assert archive.getinfo("run.sh").external_attr >> 16 == 0o755
    assert contents == {name: (checkout / name).read_bytes() for name in code.files}
    assert code.size == sum(map(len, contents.values()))


def test_of_links_those_to_tracked_files_are_sent(checkout: Path, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("private")
    links = {
        "alias.py": "core/code.py",
        "outside": tmp_path / "password",
        "ignored": "secret.env",
        "all": "core",
    }
    for name, target in links.items():
        (checkout / name).symlink_to(target)
    git(checkout, "add", *links)
    git(checkout, "clone", "-q", str(checkout), "module")
    git(checkout, "add", "module")
    code = collect_code(checkout)
    assert "alias.py" in code.files
    assert code.left_out == ("all", "ignored", "module", "outside")
    assert not set(code.files) & set(code.left_out)


def test_a_folder_that_was_replaced_by_a_link_is_not_sent(checkout: Path, tmp_path: Path) -> None:
    (checkout / "core").rename(tmp_path / "elsewhere")
    (checkout / "core").symlink_to(tmp_path / "elsewhere")
    assert not [name for name in collect_code(checkout).files if name.startswith("core/")]


def test_a_name_that_is_not_utf8_is_refused(checkout: Path) -> None:
    (checkout / "bad\udcff.py").write_text("a = 1\n")
    with pytest.raises(AnimaticError, match=r"^b'bad\\xff\.py', .* no name in UTF-8: rename it"):
        collect_code(checkout)


def test_digest_and_package_depend_on_the_files_alone(checkout: Path, tmp_path: Path) -> None:
    first = collect_code(checkout)
    first.write_zip(tmp_path / "first.zip")
    (checkout / "core" / "code.py").touch()
    (checkout / "runs" / "more.bin").write_bytes(b"y")
    second = collect_code(checkout)
    second.write_zip(tmp_path / "second.zip")
    assert second.digest == first.digest
    assert (tmp_path / "first.zip").read_bytes() == (tmp_path / "second.zip").read_bytes()
    (checkout / "core" / "code.py").write_text("a = 3\n")
    assert collect_code(checkout).digest != first.digest


def test_without_a_checkout_the_files_of_the_packages_are_sent(tmp_path: Path) -> None:
    (tmp_path / "core" / "__pycache__").mkdir(parents=True)
    (tmp_path / "core" / "code.py").write_text("a = 1\n")
    (tmp_path / "core" / "__pycache__" / "code.pyc").write_bytes(b"x")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "package.py").write_text("of somebody else\n")
    code = collect_code(tmp_path)
    assert code.files == ("core/code.py",)
    assert not code.has_lock


def test_large_files_are_refused_by_name(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package, "MOST_BYTES", 2_000_000)
    (checkout / "film.mp4").write_bytes(bytes(3_000_000))
    git(checkout, "add", "film.mp4")
    with pytest.raises(
        AnimaticError, match=r"have 3 MB, but at most 2 MB .* film\.mp4 \(3 MB\), .*Remove large"
    ):
        collect_code(checkout)


def test_this_checkout_is_sent_with_all_that_its_code_reads() -> None:
    code = collect_code(ROOT)
    wanted = {
        "requirements.lock",
        "pyproject.toml",
        "models/prior/model.safetensors",
        "training/presets/tiny.yaml",
    }
    assert wanted <= set(code.files)
    assert code.size < 30_000_000
