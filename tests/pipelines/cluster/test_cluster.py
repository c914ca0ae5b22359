"""A Ray that does not start is reported in one line."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import ray

from core.errors import AnimaticError
from pipelines.cluster.connect import ensure_ray
from tests.support.paths import ROOT

START = """
import resource
import sys

from core.errors import AnimaticError
from pipelines.cluster.connect import ensure_ray

if sys.argv[1:]:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
try:
    ensure_ray()
except AnimaticError as error:
    print(error)
"""

IN_A_WORKER = """
import ray

from core.urls import absolute
from pipelines.cluster.connect import ensure_ray

ensure_ray(num_cpus=1)
print(ray.get(ray.remote(absolute).remote("x")))
"""


def test_a_local_ray_that_does_not_start_is_a_clear_error(monkeypatch):
    def late(*_: object, **__: object) -> None:
        raise Exception("The current node timed out during startup.\nLong trace")

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", late)
    with pytest.raises(AnimaticError, match=r"did not start .*timed out during startup\.\): .*try again$"):
        ensure_ray()


def test_a_folder_that_ray_cannot_write_to_is_named_in_one_line():
    """A start in a process of its own, since this one may have a Ray already."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "RAY_TMPDIR": "/proc/nowhere"}
    environment.pop("RAY_ADDRESS", None)
    done = subprocess.run([sys.executable, "-c", START], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    assert line.startswith("RAY_TMPDIR: /proc/nowhere cannot be written to")


@pytest.mark.slow  # Ray waits for half a minute
def test_a_ray_whose_processes_die_is_reported_in_one_line_with_its_logs():
    """The limit on the size of files is below that of Ray's store: its raylet is killed."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))  # short, for Ray's sockets
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "RAY_TMPDIR": str(folder)}
    environment.pop("RAY_ADDRESS", None)
    try:
        command = [sys.executable, "-c", START, "1000000"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        (line,) = done.stdout.splitlines()
        logs = f"{folder}/ray/session_latest/logs"
        assert line.startswith("Ray did not start on this machine (") and f"its logs in {logs} give" in line
        assert (Path(logs) / "raylet.err").exists()
    finally:
        shutil.rmtree(folder)


@pytest.mark.slow  # starts a Ray of its own
def test_workers_import_our_code_in_a_folder_with_packages_of_the_same_names(tmp_path):
    for name in ("core", "pipelines"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise ImportError('not this one')")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONSAFEPATH": "1"}
    environment.pop("RAY_ADDRESS", None)
    done = subprocess.run(
        [sys.executable, "-c", IN_A_WORKER], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.stdout == f"{tmp_path}/x\n", done.stderr[-2000:]
