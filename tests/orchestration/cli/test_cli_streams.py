"""Results and errors reach whatever stdout and stderr are, or the error names what does not work."""

import json
import subprocess
import sys
from pathlib import Path
from typing import IO

import pytest

from models.bundle import open_bundle
from orchestration.registry import accept
from orchestration.workspace import Workspace
from tests.support.small_stages import make_bundle

NAME = "bündel…红"
CALL = [sys.executable, "-c", "from orchestration.cli import main; main()"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory with a bundle whose name is not ASCII."""
    folder = tmp_path_factory.mktemp("streams")
    make_bundle(folder / NAME)
    accept(Workspace(folder / "runs").ledger, open_bundle(folder / NAME))
    return folder


@pytest.fixture
def command(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("ANIMATIC_RUNS", raising=False)

    def call(*arguments: str, to: IO[str] | int = subprocess.PIPE) -> subprocess.CompletedProcess[str]:
        run = [*CALL, *arguments]
        return subprocess.run(run, cwd=folder, stdout=to, stderr=subprocess.PIPE, text=True, check=False)

    return call


@pytest.mark.parametrize("arguments", [("registry",), ("registry", "--json")])
def test_a_full_disk_under_stdout_is_one_line(command, arguments: tuple[str, ...]) -> None:
    with Path("/dev/full").open("w") as full:
        done = command(*arguments, to=full)
    assert done.returncode == 1
    assert done.stderr == (
        "error: the results cannot be written to stdout: No space left on device; the work itself is done\n"
    )


def test_letters_that_the_encoding_lacks_are_escaped(command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    table = command("registry")
    assert (table.returncode, table.stderr) == (0, "")
    assert r"b\xfcndel\u2026\u7ea2" in table.stdout
    printed = json.loads(command("lineage", NAME, "--json").stdout)
    assert printed["lineage"][0]["bundle_path"] == NAME


def test_a_terminal_that_claims_no_columns_displays_everything(
    command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "0")
    assert "1 entries in" in command("registry").stdout
    assert "No such option" in command("registry", "--x").stderr


@pytest.mark.parametrize("options", ["", "--json"])
def test_a_closed_stdout_is_no_error(command, folder: Path, options: str) -> None:
    shell = f'"$@" registry {options} >&-'
    done = subprocess.run(
        ["sh", "-c", shell, "sh", *CALL], cwd=folder, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
