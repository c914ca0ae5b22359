"""Two runs never write to one folder at the same time."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from core.errors import AnimaticError
from core.lock import LockedError
from tests.support.paths import ROOT
from training import run_lock
from training.control import RunControl
from training.processes.group import ProcessGroup
from training.run_folder import RunFolder
from training.run_lock import only_run

ALONE = ProcessGroup(rank=0, size=1)
HOLDER = """
import sys
from pathlib import Path
from training.control import RunControl
from training.processes.group import ProcessGroup
from training.run_folder import RunFolder
from training.run_lock import only_run

with only_run(RunFolder(Path(sys.argv[1])), ProcessGroup(rank=0, size=1), RunControl()):
    print("holding", flush=True)
    sys.stdin.read()
"""


def start_holder(folder: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "holding\n"
    return process


def test_a_second_run_is_refused_and_names_the_first_until_that_one_is_killed(tmp_path, monkeypatch):
    folder = tmp_path / "run"
    with start_holder(folder) as process:
        monkeypatch.setattr(run_lock, "WAIT_S", 0.0)
        named = rf"another train \(process {process.pid} on .*\) is writing to {folder}; wait for it"
        with pytest.raises(LockedError, match=named), only_run(RunFolder(folder), ALONE, RunControl()):
            pytest.fail("two runs at once")
        process.send_signal(signal.SIGKILL)
        process.wait()
    with only_run(RunFolder(folder), ALONE, RunControl()):
        assert [path.name for path in folder.iterdir()] == [".writers"]


def test_a_run_waits_for_one_that_ends(tmp_path):
    with start_holder(tmp_path) as process:
        assert process.stdin is not None
        process.stdin.close()
        with only_run(RunFolder(tmp_path), ALONE, RunControl()):
            process.wait()
    assert process.returncode == 0


def test_a_full_disk_is_named_where_a_run_starts(tmp_path, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(run_lock, "take_token", full)
    monkeypatch.setattr(os, "posix_fallocate", full)
    with (
        pytest.raises(AnimaticError, match=rf"written to {tmp_path}/run: No space left .* free space"),
        only_run(RunFolder(tmp_path / "run"), ALONE, RunControl()),
    ):
        pass


def test_a_folder_that_cannot_be_used_is_named(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(AnimaticError, match=r"file/run cannot be written to: Not a directory"),
        only_run(RunFolder(tmp_path / "file" / "run"), ALONE, RunControl()),
    ):
        pytest.fail("a run without a folder")
