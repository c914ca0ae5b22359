"""What a process of a run prints and exits with before it trains."""

import os
import subprocess
import sys

import pytest

from tests.support.paths import ROOT

MEETING = {"WORLD_SIZE": "4", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}


def entry(*arguments: object, **environment: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "training", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == ""
    return done.returncode, done.stderr


@pytest.mark.parametrize("rank", [0, 1])
def test_wrong_usage_is_printed_by_the_first_process_alone(rank, tmp_path):
    code, printed = entry("--local_rank", rank, tmp_path / "config.yaml", RANK=str(rank), **MEETING)
    assert code == 2
    assert ("required: --run-dir" in printed) == (rank == 0)
    assert printed == "" or rank == 0


@pytest.mark.parametrize("local_rank", [0, 1])
def test_an_error_that_all_processes_find_is_one_line_of_one_process_a_machine(local_rank, tmp_path):
    variables = {"RANK": str(2 + local_rank), "LOCAL_RANK": str(local_rank), **MEETING}
    code, printed = entry(tmp_path / "missing.yaml", "--run", tmp_path / "run", **variables)
    assert code == 1
    errors = [line for line in printed.splitlines() if line.startswith("error: ")]
    assert len(errors) == (local_rank == 0)
    assert all("missing.yaml" in line for line in errors)
    assert "Traceback" not in printed


def test_a_run_folder_that_cannot_be_used_is_named(tmp_path):
    (tmp_path / "file").touch()
    code, printed = entry(tmp_path / "config.yaml", "--run-dir", tmp_path / "file" / "run")
    assert code == 1
    assert printed.startswith(f"error: {tmp_path}/file/run cannot be written to: Not a directory")
