"""What is asked often, or while nobody else can write, is read from indices: ended jobs are many."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

from orchestration.serving.jobs import JobStore, QueueFullError, StoreRules
from orchestration.serving.settings import LimitSettings
from tests.support.job_stores import complete, spec, sqlite_url, submit


@pytest.fixture
def statements() -> Iterator[list[tuple[str, Sequence[Any]]]]:
    """Every statement that a store executes, with its parameters."""
    executed: list[tuple[str, Sequence[Any]]] = []

    def record(connection: Any, cursor: Any, statement: str, parameters: Any, *rest: Any) -> None:
        executed.append((statement, parameters))

    event.listen(Engine, "before_cursor_execute", record)
    yield executed
    event.remove(Engine, "before_cursor_execute", record)


def test_no_frequent_query_reads_all_jobs(
    tmp_path: Path, statements: list[tuple[str, Sequence[Any]]]
) -> None:
    store = JobStore(sqlite_url(tmp_path), StoreRules(max_bytes=1))
    statements.clear()
    for owner in ("ann", "ben"):
        submit(store, owner, first=spec().first.model_copy(update={"bytes": 0}))
    with pytest.raises(QueueFullError):
        store.submit(spec(), "ann", LimitSettings(queue=1))
    (claimed,) = store.claim("r1", {"champion"}, 1)
    store.progress([claimed], 1, 2, None)
    complete(store, claimed)
    store.requeue_abandoned()
    store.fail_unservable()
    store.spent_objects()
    store.spent_objects()
    store.listed("ann", limit=20)
    store.get_many([claimed.id])
    store.count_states()
    store.oldest_wait_s()
    store.close()

    asked = {
        (sql, tuple(values)) for sql, values in statements if sql.startswith(("SELECT", "UPDATE", "DELETE"))
    }
    assert len(asked) > 15
    with sqlite3.connect(tmp_path / "jobs.sqlite") as connection:
        plans = {
            sql: [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", values)]
            for sql, values in asked
        }
    whole = {
        sql: plan for sql, plan in plans.items() if any(step in ("SCAN jobs", "SCAN jobs_1") for step in plan)
    }
    assert whole == {}
