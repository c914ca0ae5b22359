"""One exported champion, and its loaded model, for all tests of serving that change neither."""

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.support.serving import FixedModels, export_moving


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Threads that wait for each other are slow where tests run side by side."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True, scope="module")
def _fast_collection() -> None:
    """Replicas collect garbage between two batches: not through all that other tests keep."""
    gc.freeze()


@pytest.fixture(scope="session")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A location with a champion, and the workspace ``runs`` with its bundle beside it."""
    folder = tmp_path_factory.mktemp("serving")
    export_moving(folder / "exports", folder)
    return folder / "exports"


@pytest.fixture(scope="session")
def models(exports: Path) -> FixedModels:
    """The champion, loaded."""
    return FixedModels(exports, exports.parent / "cache")
