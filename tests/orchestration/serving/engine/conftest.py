"""Engines of the champion."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.support.serving import FixedModels, Service, StepGate, engine_service


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
