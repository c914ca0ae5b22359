"""A job checks its Python before it imports anything that may be missing."""

import subprocess
import sys
from pathlib import Path

from orchestration.job import missing_packages
from orchestration.job_log import LACKS_PACKAGES
from tests.support.paths import ROOT


def test_packages_that_the_project_declares_and_python_lacks_are_found(tmp_path: Path) -> None:
    project = tmp_path / "pyproject.toml"
    project.write_text(
        '[project]\ndependencies = ["numpy>=2", "fsspec[http]>=2025.3", "no-such>=1", "another_one<3"]\n'
    )
    assert missing_packages(project) == ["no-such", "another_one"]
    assert missing_packages(ROOT / "pyproject.toml") == []
    assert missing_packages(tmp_path / "none.toml") == []


def test_a_python_without_packages_ends_with_a_line_that_names_them() -> None:
    command = [sys.executable, "-S", "-m", "orchestration.job", "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == LACKS_PACKAGES
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert "on the cluster lacks aiohttp, av, cryptography, decord, deepspeed and " in done.stderr
    assert "--environment lock" in done.stderr


def test_with_its_packages_a_job_is_the_command() -> None:
    command = [sys.executable, "-m", "orchestration.job", "jobs", "list", "x"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: x is without effect with list, which lists all jobs\n"
