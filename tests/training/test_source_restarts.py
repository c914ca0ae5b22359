"""A store that is away does not end a run for good: its processes wait, then ask to be restarted."""

import time

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from core.errors import AnimaticError
from core.storage import Folder
from tests.support.coded_clips import build_dataset
from tests.support.small_stages import small_sets
from training.batch_source import DatasetSource, RestartError, open_patiently
from training.config import RunConfig, resolve

SETS = ["model.height=32", "model.width=32", "model.frames=3", "data.dataset=memory://away"]


@pytest.fixture
def config(tmp_path):
    """A run on a dataset in memory, as an object store."""
    dataset = build_dataset(tmp_path / "data", [12] * 4)
    memory = fsspec.filesystem("memory")
    memory.put(str(dataset.folder.local_path), "/away", recursive=True)
    yield resolve(0, "tiny", [*small_sets(0), *SETS, f"data.cache.folder={tmp_path / 'cache'}"])
    memory.rm("/away", recursive=True)


@pytest.fixture
def pauses(monkeypatch):
    """The pauses between attempts, which take no time."""
    made, sleep = [], time.sleep

    def record(seconds):
        if seconds < 1:  # of locks
            sleep(seconds)
        else:
            made.append(seconds)

    monkeypatch.setattr("tenacity.nap.time.sleep", record)
    return made


def away(monkeypatch, name: str, failures: int) -> None:
    """Let a method of the file system fail so often."""
    real, left = getattr(MemoryFileSystem, name), [failures]

    def failing(*args, **named):
        if left[0] > 0:
            left[0] -= 1
            raise TimeoutError("timed out")
        return real(*args, **named)

    monkeypatch.setattr(MemoryFileSystem, name, failing)


def test_a_dataset_is_opened_when_its_store_is_back(config: RunConfig, monkeypatch, pauses):
    away(monkeypatch, "cat_file", 5)
    assert open_patiently(config).digest == DatasetSource(config).digest
    assert len(pauses) == 5


def test_processes_ask_for_a_restart_after_minutes(config: RunConfig, monkeypatch, pauses):
    away(monkeypatch, "cat_file", 10**6)
    with pytest.raises(RestartError, match="timed out"):
        open_patiently(config)
    assert sum(pauses) >= 600


def test_the_command_does_not_wait(config: RunConfig, monkeypatch, pauses):
    away(monkeypatch, "cat_file", 10**6)
    with pytest.raises(AnimaticError, match="timed out"):
        DatasetSource(config)
    assert pauses == []


def test_shards_that_cannot_be_fetched_for_minutes_ask_for_a_restart(config: RunConfig, monkeypatch, pauses):
    source = DatasetSource(config)
    away(monkeypatch, "get_file", 10**6)
    with pytest.raises(RestartError, match=r"cannot be fetched .* tried for 600 s"):
        next(iter(source.batches(0, 1, 0, 2)))


def test_what_does_not_pass_is_no_reason_for_a_restart(config: RunConfig, pauses):
    Folder("memory://away").remove("dataset.json")
    with pytest.raises(AnimaticError, match="no dataset at memory://away"):
        open_patiently(config)
    assert pauses == []
