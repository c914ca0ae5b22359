"""One exported bundle, whose model all tests of this folder share."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import torch

from tests.support.serving import FixedModels, Service, StepGate, engine_service, export_moving


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Threads that wait for each other are slow where tests run side by side."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A location with a champion, and the workspace ``runs`` beside it."""
    folder = tmp_path_factory.mktemp("serving")
    export_moving(folder / "exports", folder)
    return folder / "exports"


@pytest.fixture(scope="session")
def models(exports: Path) -> FixedModels:
    return FixedModels(exports, exports.parent / "cache")


@pytest.fixture
def serve(models: FixedModels, tmp_path: Path) -> Callable[..., AbstractContextManager[Service]]:
    """A service of the champion; see :func:`tests.support.serving.engine_service`."""
    return lambda **settings: engine_service(tmp_path / "state", models, **settings)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[StepGate]:
    """Stops sampling after steps of the test's choice."""
    gate = StepGate()
    gate.install(monkeypatch)
    yield gate
    gate.open()
