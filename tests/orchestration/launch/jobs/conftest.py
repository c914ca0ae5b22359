"""A job server that a test scripts."""

from collections.abc import Iterator

import pytest

from tests.support.job_server import FakeJobServer, running


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeJobServer]:
    for name in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS", "ANIMATIC_JOB"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    with running(FakeJobServer()) as server:
        yield server
