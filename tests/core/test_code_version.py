"""The recorded version names the commit of the code that runs, and only that."""

import subprocess
from importlib.metadata import version

import pytest

from core.code_version import code_version

VERSION = version("animatic")


@pytest.fixture
def checkout(tmp_path):
    (tmp_path / "code.py").write_text("a = 1\n")
    _git(tmp_path, "init", "-q")
    _git(tmp_path, "add", ".")
    _git(tmp_path, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "first")
    code_version.cache_clear()
    return tmp_path


def _git(folder, *arguments):
    done = subprocess.run(["git", "-C", folder, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_a_checkout_adds_its_commit(checkout):
    (checkout / "runs").mkdir()
    (checkout / "runs/untracked.txt").write_text("no code")
    assert code_version(checkout) == f"{VERSION}+git.{_git(checkout, 'rev-parse', 'HEAD')}"


def test_a_checkout_in_an_image_of_another_commit_names_its_own(checkout, monkeypatch):
    monkeypatch.setattr("core.code_version.version", lambda _: "0.1.0+git.1a2b3c")
    assert code_version(checkout) == f"0.1.0+git.{_git(checkout, 'rev-parse', 'HEAD')}"


def test_a_job_records_the_code_that_was_submitted_and_not_that_of_its_image(checkout, monkeypatch):
    monkeypatch.setattr("core.code_version.version", lambda _: "0.1.0+git.1a2b3c")
    assert code_version(checkout / "image") == "0.1.0+git.1a2b3c"
    code_version.cache_clear()
    monkeypatch.setenv("ANIMATIC_CODE_VERSION", "0.1.0+git.4d5e6f.dirty")
    assert code_version(checkout / "image") == "0.1.0+git.4d5e6f.dirty"


def test_a_changed_checkout_is_marked_as_such(checkout):
    (checkout / "code.py").write_text("a = 2\n")
    assert code_version(checkout) == f"{VERSION}+git.{_git(checkout, 'rev-parse', 'HEAD')}.dirty"


def test_a_change_after_the_first_call_does_not_count(checkout):
    before = code_version(checkout)
    (checkout / "code.py").write_text("a = 2\n")
    assert code_version(checkout) == before


def test_an_installed_copy_within_another_repository_has_no_commit(checkout):
    (checkout / "site-packages").mkdir()
    assert code_version(checkout / "site-packages") == VERSION


def test_without_git_or_a_commit_nothing_is_added(checkout, tmp_path, monkeypatch):
    empty = tmp_path / "empty"
    empty.mkdir()
    _git(empty, "init", "-q")
    assert code_version(empty) == VERSION
    monkeypatch.setenv("PATH", "")
    assert code_version(checkout) == VERSION


def test_variables_of_a_git_hook_do_not_name_another_repository(checkout, monkeypatch, tmp_path):
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    assert code_version(checkout).startswith(f"{VERSION}+git.")
