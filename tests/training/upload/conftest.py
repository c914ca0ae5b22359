"""A remote folder in memory, and pauses of retries that are recorded and not waited for."""

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from training.upload.checkpoints import RemoteCheckpoints
from training.upload.folder import RemoteFolder


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds of every pause."""
    waited: list[float] = []
    monkeypatch.setattr("tenacity.nap.time.sleep", waited.append)
    return waited


@pytest.fixture
def folder() -> RemoteFolder:
    """An empty folder of a store."""
    MemoryFileSystem.store.clear()
    return RemoteFolder("memory://bucket/run", patience_s=0.001)


@pytest.fixture
def remote(folder: RemoteFolder) -> RemoteCheckpoints:
    """The checkpoints in it."""
    return RemoteCheckpoints(folder)
