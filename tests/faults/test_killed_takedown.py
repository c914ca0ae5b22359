"""SIGKILL in the middle of takedowns, on a disk and in an object store: the next call completes them."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import fsspec
import pytest
from moto.server import ThreadedMotoServer

from core.storage import Folder
from pipelines.dataset.verify import verify
from pipelines.dataset.verify_latents import verify_latents
from tests.support.bucket import bucket
from tests.support.dataset_files import contents
from tests.support.paths import ROOT
from tests.support.takedowns import make_world, remove

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

IDS = ("0", "3", "4", "7", "8")
KILLS = 12
# Everything is imported before the takedown begins, which is reported.
DRIVER = """
import sys
import torch, webdataset.writer
from tests.support.takedowns import remove
print("begun", flush=True)
remove(sys.argv[1], *sys.argv[2:])
"""


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_world(tmp_path_factory.mktemp("before"), sizes=[2] * 5)


@pytest.fixture(scope="module")
def after(before: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("after") / "world"
    shutil.copytree(before, folder)
    remove(folder, *IDS)
    return contents(folder)


def start(world: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-c", DRIVER, world, *IDS], env=environment, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    return process


def killed_until_done(world: str, most_s: float, reset: Callable[[], None]) -> int:
    """Kill takedowns after random times; the number of those that were killed. ``reset`` begins again."""
    rng, killed = random.Random(0), 0
    while killed < KILLS:
        process = start(world)
        time.sleep(rng.uniform(0, most_s))
        process.kill()
        if process.wait() == -signal.SIGKILL:
            killed += 1
        else:
            reset()  # it was done before
    return killed


def seconds_of(world: str) -> float:
    process, began = start(world), time.monotonic()
    assert process.wait() == 0
    return time.monotonic() - began


def test_takedowns_that_are_killed_on_a_disk(before: Path, after: dict[str, bytes], tmp_path: Path) -> None:
    world = tmp_path / "world"

    def reset() -> None:
        shutil.rmtree(world, ignore_errors=True)
        shutil.copytree(before, world)

    reset()
    most_s = seconds_of(str(world))
    reset()
    assert killed_until_done(str(world), most_s / 2, reset) == KILLS
    remove(world, *IDS)
    assert contents(world) == after
    assert verify(world / "data", deep=True) == verify_latents(world / "latents") == []


@pytest.fixture
def stored_world() -> Iterator[str]:
    with bucket(ThreadedMotoServer("127.0.0.1", port=0, verbose=False)) as url:
        yield f"{url}/world"


def test_takedowns_that_are_killed_in_an_object_store(
    before: Path, after: dict[str, bytes], stored_world: str
) -> None:
    folder = Folder(stored_world)

    def reset() -> None:
        store = fsspec.filesystem("s3", use_listings_cache=False)
        if store.exists(stored_world):
            store.rm(stored_world, recursive=True)
        for name, content in contents(before).items():
            folder.write(name, content)

    reset()
    most_s = seconds_of(stored_world)
    reset()
    assert killed_until_done(stored_world, most_s / 2, reset) == KILLS
    remove(stored_world, *IDS)
    store = fsspec.filesystem("s3", use_listings_cache=False)
    root = stored_world.removeprefix("s3://")
    found = {name.removeprefix(f"{root}/"): store.cat_file(name) for name in store.find(root)}
    assert found == after
    assert verify(f"{stored_world}/data", deep=True) == verify_latents(f"{stored_world}/latents") == []
