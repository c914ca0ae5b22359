"""Processes killed at random while they save and upload checkpoints, on full disks and during outages.

At every moment a verified checkpoint exists, a later start goes on from the newest one to the same weights,
and nothing is left behind.
"""

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
from tests.support.killed_training import KillableTraining
from tests.support.training_jobs import small_config, write_config
from tests.support.waiting import wait_until
from training.checkpoints import complete_checkpoints, find_damage
from training.checkpoints.names import step_of
from training.journal import read_journal
from training.upload.checkpoints import RemoteCheckpoints
from training.upload.folder import RemoteFolder

pytestmark = pytest.mark.slow

KILLS, STEPS = 32, 150
LENGTH = (
    f"train.steps={STEPS}",
    "train.checkpoint_every=1",
    "train.keep_checkpoints=2",
    "train.keep_every=40",
    "train.ema_decay=0.9",
    "train.global_batch=2",
)
VARIABLES = ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION")


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
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(disk)], check=True)
    try:
        yield disk
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def verified_steps(run: Path) -> list[int]:
    return [step_of(path) for path in complete_checkpoints(run / "checkpoints") if find_damage(path) is None]


def remote_steps(url: str, folder: Path) -> list[int]:
    """Of remote checkpoints, each downloaded and verified."""
    remote, steps = RemoteCheckpoints(RemoteFolder(url, 30)), []
    for number, found in enumerate(remote.listed()):
        copy = folder / str(number)
        copy.mkdir(parents=True)
        if found.damage is None and remote.download(found, copy) is None:
            steps.append(found.step)
    return steps


def fill(disk: Path) -> Path:
    """Leave less room than a checkpoint needs."""
    filler, stat = disk / "filler", os.statvfs(disk)
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(stat.f_bavail * stat.f_frsize - (1 << 20), 1))
    return filler


def bundle_weights(run: Path) -> dict[str, torch.Tensor]:
    return dict(open_bundle(run / "bundle").state())


def test_killed_at_random_a_run_always_has_a_verified_checkpoint_and_ends_with_the_same_weights(
    store: str, outages: Outages, small_disk: Path, tmp_path: Path
) -> None:
    environment = {name: os.environ[name] for name in VARIABLES}
    undisturbed = write_config(small_config(0, *LENGTH, "upload.url=null"), tmp_path / "undisturbed.yaml")
    whole = KillableTraining(2, environment, undisturbed, tmp_path / "whole", tmp_path / "whole-logs")
    assert len(whole.results()) == 2, whole.log()

    url, run, draw = f"{store}/run", small_disk / "run", random.Random(0)
    sets = (f"upload.url={url}", "upload.patience_s=0.5")
    config = write_config(small_config(0, *LENGTH, *sets), tmp_path / "config.yaml")
    newest = 0
    for kill in range(KILLS):
        filler = None
        training = KillableTraining(2, environment, config, run, tmp_path / f"logs-{kill}")
        wait_until(lambda: training.has_begun or training.has_ended, 240)  # noqa: B023
        assert not training.has_ended or verified_steps(run)[-1:] == [STEPS], training.log()
        time.sleep(draw.uniform(0, 1.5))
        if kill % 4 == 1:
            outages.down.set()
        if kill % 4 == 2:
            filler = fill(small_disk)
        time.sleep(draw.uniform(0, 1.5))
        training.kill(draw.randrange(2))
        outages.down.clear()
        if filler is not None:
            filler.unlink()
        steps = verified_steps(run)
        assert steps and steps[-1] >= newest, training.log()
        newest = steps[-1]
        assert remote_steps(url, tmp_path / f"remote-{kill}"), training.log()
    resumed = [entry.step for entry in read_journal(run / "journal.jsonl") if entry.event == "resume"]
    assert len(resumed) >= KILLS - 1 and resumed == sorted(resumed)

    last = KillableTraining(2, environment, config, run, tmp_path / "last")
    assert len(last.results()) == 2, last.log()
    expected, got = bundle_weights(tmp_path / "whole"), bundle_weights(run)
    assert all(torch.equal(expected[name], got[name]) for name in expected)
    kept = [40, 80, 120, STEPS - 1, STEPS]
    assert sorted(step_of(path) for path in (run / "checkpoints").iterdir()) == kept
    assert not list(run.rglob("*part*"))
    assert remote_steps(url, tmp_path / "remote-last")[-1] == STEPS
    names = {name.split("/")[0] for name in RemoteFolder(url, 30).list("checkpoints")}
    assert len(names) == len(remote_steps(url, tmp_path / "remote-count"))
