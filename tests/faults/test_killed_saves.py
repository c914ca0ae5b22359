"""Processes killed at random while they save and upload checkpoints, on full disks and during outages.

At every moment a verified checkpoint exists, a later start goes on from the newest one to the same values,
and nothing is left behind.
"""

import contextlib
import os
import random
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from models.bundle import open_bundle
from tests.support.bucket import Application, AtomicServer, bucket
from tests.support.killed_jobs import KillableJob
from tests.support.saving_jobs import EVERY, KEEP_EVERY, VALUES, value_after
from tests.support.training_jobs import small_config, write_config
from tests.support.waiting import wait_until
from training.checkpoints import ShardReader, complete_checkpoints, find_damage, read_manifest, step_of
from training.journal import read_journal
from training.upload.checkpoints import RemoteCheckpoints
from training.upload.folder import RemoteFolder

pytestmark = pytest.mark.slow

KILLS = 32
VARIABLES = ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION")
SAVE, TRAIN = "tests.support.saving_jobs.save_steps", "tests.support.training_jobs.run_stage"


class Outages:
    """A store that answers requests with errors while it is down."""

    def __init__(self) -> None:
        self.down = threading.Event()

    def __call__(self, application: Application) -> Application:
        def answering(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            if self.down.is_set():
                start_response("503 Slow Down", [("Content-Length", "0")])
                return [b""]
            return application(environ, start_response)

        return answering


@pytest.fixture(scope="module")
def outages() -> Outages:
    return Outages()


@pytest.fixture(scope="module")
def store(outages: Outages) -> Iterator[str]:
    with bucket(AtomicServer(outages)) as url:
        yield url


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid():
        pytest.skip("mounting a file system needs root")
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512m", "tmpfs", str(disk)], check=True)
    try:
        yield disk
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def start(job: str, folder: Path, *arguments: Any) -> KillableJob:
    return KillableJob(2, {name: os.environ[name] for name in VARIABLES}, job, list(arguments), folder)


def verified_steps(run: Path) -> list[int]:
    return [step_of(path) for path in complete_checkpoints(run / "checkpoints") if find_damage(path) is None]


def remote_steps(url: str, folder: Path) -> list[int]:
    """Of remote checkpoints, each downloaded and verified; one that is listed is never damaged."""
    remote, steps = RemoteCheckpoints(RemoteFolder(url, 30)), []
    for number, found in enumerate(remote.listed()):
        copy = folder / str(number)
        copy.mkdir(parents=True)
        assert (found.damage, remote.download(found, copy)) == (None, None)
        steps.append(found.step)
    return steps


def fill(disk: Path) -> Path:
    """Leave no room for a checkpoint."""
    filler = disk / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while file.write(bytes(1 << 20)):
            pass
    return filler


def messages(run: Path) -> str:
    entries = [entry for entry in read_journal(run / "journal.jsonl") if entry.event == "warning"]
    return "\n".join(str(entry.content["message"]) for entry in entries)


@pytest.mark.timeout(1800)
def test_processes_killed_at_random_leave_a_verified_checkpoint_each_time(
    store: str, outages: Outages, small_disk: Path, tmp_path: Path
) -> None:
    url, run, draw, newest = f"{store}/saves", small_disk / "run", random.Random(0), 0
    for kill in range(KILLS):
        folder, begun, filler = tmp_path / f"job-{kill}", tmp_path / f"begun-{kill}", None
        job = start(SAVE, folder, str(run), url, str(begun), None)
        wait_until(lambda: begun.exists() or job.has_ended, 240)  # noqa: B023
        assert not job.has_ended, job.log()
        time.sleep(draw.uniform(0, 1.5))
        if kill % 4 == 1:
            outages.down.set()
        if kill % 4 == 2:
            filler = fill(small_disk)
        time.sleep(draw.uniform(0, 1.5))
        assert not job.has_ended, job.log()
        job.kill(draw.randrange(2))
        outages.down.clear()
        if filler is not None:
            filler.unlink()
        steps = verified_steps(run)
        assert kill == 0 or (steps and steps[-1] >= newest), job.log()
        newest = steps[-1] if steps else 0
        # The first upload may not have ended before the first kill.
        assert kill < 2 or remote_steps(url, tmp_path / f"remote-{kill}"), job.log()
    last = start(SAVE, tmp_path / "last", str(run), url, str(tmp_path / "begun"), 2 * KEEP_EVERY + 1)
    (end, _) = last.results()
    assert end > newest + KEEP_EVERY and "No space left" in messages(run)
    path = complete_checkpoints(run / "checkpoints")[-1]
    assert find_damage(path) is None and step_of(path) == end - end % EVERY
    got = ShardReader(path, read_manifest(path)).read("master/values", 0, VALUES)
    assert torch.equal(got, value_after(step_of(path)))
    kept = [step for step in range(KEEP_EVERY, end + 1, KEEP_EVERY) if step <= step_of(path) - EVERY]
    local = [step_of(each) for each in (run / "checkpoints").iterdir()]
    newest_two = {step_of(path) - EVERY, step_of(path)}
    assert newest_two <= set(local)
    # One whose upload was in progress, or waited, is deleted by a later save.
    assert len(set(local) - set(kept) - newest_two) <= 2
    assert not list(run.rglob("*part*"))
    remote = remote_steps(url, tmp_path / "remote-last")
    assert remote[-1] == step_of(path)
    folders = {name.split("/")[0] for name in RemoteFolder(url, 30).list("checkpoints")}
    assert len(folders) == len(remote)


@pytest.mark.timeout(1800)
def test_killed_runs_end_with_the_weights_of_one_that_was_not_killed_on_another_machine_too(
    store: str, tmp_path: Path
) -> None:
    length = ("train.steps=12", "train.checkpoint_every=1", "train.ema_decay=0.9", "train.global_batch=2")
    config = small_config(0, *length, f"upload.url={store}/run", "upload.patience_s=5")
    path = write_config(config, tmp_path / "config.yaml")
    undisturbed = write_config(small_config(0, *length), tmp_path / "undisturbed.yaml")
    assert len(start(TRAIN, tmp_path / "whole-job", undisturbed, str(tmp_path / "whole")).results()) == 2
    resumed: list[int] = []
    for kill, machine in enumerate(("a", "a", "b")):  # b has nothing of what a has written
        run, begun = tmp_path / machine, tmp_path / f"begun-{kill}"
        job = start(TRAIN, tmp_path / f"job-{kill}", path, str(run), {"begun": str(begun)})
        wait_until(lambda: begun.exists() or job.has_ended, 240)  # noqa: B023
        wait_until(lambda: len(remote_steps(f"{store}/run", tmp_path / f"{time.monotonic()}")) > 0, 240)
        job.kill(kill % 2)
    last = start(TRAIN, tmp_path / "last", path, str(tmp_path / "b"))
    assert len(last.results()) == 2, last.log()
    for machine in ("a", "b"):
        entries = read_journal(tmp_path / machine / "journal.jsonl")
        resumed += [entry.step for entry in entries if entry.event == "resume"]
    assert len(resumed) == 3 and min(resumed) > 0
    expected, got = (open_bundle(tmp_path / name / "bundle").state() for name in ("whole", "b"))
    assert all(torch.equal(expected[name], got[name]) for name in expected)
    assert remote_steps(f"{store}/run", tmp_path / "remote")[-1] == 12
