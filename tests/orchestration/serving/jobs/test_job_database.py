"""Databases that cannot be used: one line that states why, never a password."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, event, text

from core.errors import AnimaticError
from orchestration.serving.jobs import JobStore, JobStoreError
from tests.support.job_stores import sqlite_url, submit
from tests.support.postgres import PASSWORD, PostgresServer


def _refusal(url: str) -> str:
    with pytest.raises(AnimaticError) as refused:
        JobStore(url)
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize(
    "url",
    ["mysql://localhost/jobs", "jobs.sqlite", "", "postgresql://host:port/jobs", "sqlite+aiosqlite:///x"],
)
def test_url_of_another_kind_is_refused_with_the_kinds_that_fit(url: str) -> None:
    assert "sqlite:///FILE or postgresql://" in _refusal(url)


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:"])
def test_sqlite_in_memory_is_refused(url: str) -> None:
    assert "needs a file" in _refusal(url)


def test_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "jobs.sqlite").write_text("no database, but text" * 100)
    refused = _refusal(sqlite_url(tmp_path))
    assert "jobs.sqlite" in refused
    assert "not a database" in refused


def test_folder_that_cannot_be_created_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "cannot be created" in _refusal(f"sqlite:///{tmp_path}/file/jobs.sqlite")


def test_schema_of_a_later_version_is_refused_with_the_fix(database_url: str) -> None:
    JobStore(database_url).close()
    engine = create_engine(database_url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as connection:
        connection.execute(text("UPDATE animatic_schema SET version = 99"))
    engine.dispose()
    refused = _refusal(database_url)
    assert "version 99" in refused
    assert "update" in refused


def test_existing_jobs_are_kept_when_the_store_opens_again(database_url: str) -> None:
    store = JobStore(database_url)
    job = submit(store)
    store.close()
    for _ in range(2):
        store = JobStore(database_url)
        assert store.get(job.id) == job
        store.close()


def test_locked_sqlite_is_an_error_of_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestration.serving.jobs.database._BUSY_MS", 10)
    store = JobStore(sqlite_url(tmp_path))
    other = sqlite3.connect(tmp_path / "jobs.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(JobStoreError, match="database is locked"):
        submit(store)
    assert store.count_states() == {}  # readers do not wait for writers
    other.execute("ROLLBACK")
    other.close()
    submit(store)
    store.close()


def test_full_disk_is_an_error_of_the_store_and_nothing_is_half_written(tmp_path: Path) -> None:
    JobStore(sqlite_url(tmp_path)).close()
    with closing(sqlite3.connect(tmp_path / "jobs.sqlite")) as connection:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()

    def fill(connection: sqlite3.Connection, record: object) -> None:
        connection.execute(f"PRAGMA max_page_count={pages + 4}")

    event.listen(Engine, "connect", fill)
    try:
        store = JobStore(sqlite_url(tmp_path))
        submit(store)
        with pytest.raises(JobStoreError, match="full"):
            submit(store, prompt="x" * 1_000_000)
        assert store.count_states() == {"queued": 1}
        store.close()
    finally:
        event.remove(Engine, "connect", fill)


def test_server_that_does_not_answer_is_an_error_without_the_password(tmp_path: Path) -> None:
    refused = _refusal(f"postgresql://ann:{PASSWORD}@/jobs?host={tmp_path}&password={PASSWORD}")
    assert "connection" in refused
    assert PASSWORD not in refused


def test_wrong_password_is_not_printed(postgres_server: PostgresServer) -> None:
    refused = _refusal(postgres_server.url_with("wrong-and-secret"))
    assert "password authentication failed" in refused
    assert "wrong-and-secret" not in refused


def test_store_works_again_after_its_server_restarted(postgres_server: PostgresServer) -> None:
    postgres_server.clear()
    store = JobStore(postgres_server.url)
    job = submit(store)
    postgres_server.stop()
    with pytest.raises(JobStoreError):
        store.get(job.id)
    postgres_server.start()
    assert store.get(job.id) == job
    store.close()
