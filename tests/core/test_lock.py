"""One holder at a time, across threads and processes; a killed process holds nothing."""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from core.errors import AnimaticError
from core.lock import LockedError, exclusive_lock, file_lock, is_locked
from core.storage import Folder
from tests.support.paths import ROOT

HOLDER = """
import sys, time
from core.lock import exclusive_lock
from core.storage import Folder

folder = Folder(sys.argv[1])
with exclusive_lock(folder, "ingest"), folder.creating("shard.tar") as partial:
    partial.write_text("half")
    print("holding", flush=True)
    time.sleep(600)
"""


@contextmanager
def holder(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that writes to the folder until it is killed."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", HOLDER, str(folder)]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "holding\n"
        yield process
    finally:
        process.kill()
        process.wait()


def test_the_job_that_holds_a_folder_is_named(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    with (
        exclusive_lock(folder, "ingest"),
        pytest.raises(
            LockedError, match=f"another ingest .* is writing to {tmp_path}; wait for it or stop it"
        ),
        exclusive_lock(folder, "score"),
    ):
        pytest.fail("two jobs at once")
    with exclusive_lock(folder, "score"):
        assert (tmp_path / ".lock").read_text() == f"score (process {os.getpid()} on {socket.gethostname()})"


def test_a_lock_whose_new_holder_is_not_recorded_yet_names_no_process_that_ended(tmp_path: Path) -> None:
    with file_lock(tmp_path / ".lock"):
        (tmp_path / ".lock").write_text(f"ingest (process 99999999 on {socket.gethostname()})")
        with (
            pytest.raises(LockedError, match=f"another job is writing to {tmp_path}; wait for it"),
            exclusive_lock(Folder(tmp_path), "score"),
        ):
            pytest.fail("two jobs at once")


def test_a_killed_process_holds_no_lock_and_what_it_left_is_deleted(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    with holder(tmp_path) as process:
        named = rf"another ingest \(process {process.pid} on {socket.gethostname()}\)"
        with pytest.raises(LockedError, match=named), exclusive_lock(folder, "score"):
            pytest.fail("two jobs at once")
        process.kill()
        process.wait()
        assert any(".part-" in name for name in folder.names())
        with exclusive_lock(folder, "score"):
            assert folder.names() == [".lock"]


def test_what_killed_workers_left_is_deleted_when_a_job_ends(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    with exclusive_lock(folder, "ingest"):
        (tmp_path / ".shard.part-0123abcd.tar").touch()
    assert folder.names() == [".lock"]


def test_an_object_store_is_not_locked() -> None:
    folder = Folder("memory://bucket")
    with exclusive_lock(folder, "ingest"), exclusive_lock(folder, "ingest"):
        assert folder.names() == []


def test_a_folder_that_cannot_be_created_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(AnimaticError, match=r"file cannot be created: (File exists|Not a directory)"),
        exclusive_lock(Folder(tmp_path / "file"), "job"),
    ):
        pytest.fail("a lock without a folder")


def test_threads_wait_for_each_other(tmp_path: Path) -> None:
    held = 0

    def hold(_: int) -> None:
        nonlocal held
        with file_lock(tmp_path / "a" / "folder" / "lock"):
            held += 1
            assert held == 1
            time.sleep(0.01)
            held -= 1

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(hold, range(12)))


def test_the_wait_ends_after_its_timeout(tmp_path: Path) -> None:
    path, release = tmp_path / "lock", threading.Event()

    def hold() -> None:
        with file_lock(path):
            release.wait()

    with ThreadPoolExecutor(1) as pool:
        pool.submit(hold)
        try:
            while not is_locked(path):
                time.sleep(0.01)
            with pytest.raises(LockedError, match=r"still holds .*lock after 0\.1 s"), file_lock(path, 0.1):
                pytest.fail("two holders")
        finally:
            release.set()
    assert not is_locked(path)
