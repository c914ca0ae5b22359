"""Databases for the job store: everything that it promises holds in sqlite and in PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestration.serving.jobs import JobStore, StoreRules
from tests.support import postgres
from tests.support.job_stores import Clock, sqlite_url

RULES = StoreRules(lease_s=30, attempts=3, keep_s=3600, max_bytes=100_000)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[postgres.PostgresServer]:
    """A running server; its tables may be another test's."""
    reason = postgres.missing()
    if reason is not None:
        pytest.skip(reason)
    server = postgres.PostgresServer()
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of each kind."""
    if request.param == "sqlite":
        return sqlite_url(tmp_path)
    server: postgres.PostgresServer = request.getfixturevalue("postgres_server")
    server.clear()
    return server.url


@pytest.fixture
def clock() -> Clock:
    """The time of ``store``."""
    return Clock()


@pytest.fixture
def store(database_url: str, clock: Clock) -> Iterator[JobStore]:
    """An empty store: leases of 30 s, 3 attempts, clips kept for an hour, 100 kB."""
    opened = JobStore(database_url, RULES, clock=clock)
    yield opened
    opened.close()
