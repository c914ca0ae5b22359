"""What replicas report, rollbacks in force, and counters."""

from __future__ import annotations

import json
from collections.abc import Mapping

from sqlalchemy import Connection, delete, insert, select, update

from orchestration.serving.counters import Sample
from orchestration.serving.jobs.database import Database, Lock
from orchestration.serving.jobs.records import Hold, ReplicaReport, ReplicaStatus
from orchestration.serving.jobs.rows import moment
from orchestration.serving.jobs.tables import counters, holds, replicas

# A replica whose report is older does not live; one whose report is much older is forgotten.
LIVE_S, REMEMBERED_S = 15.0, 3600.0


def report(database: Database, status: ReplicaReport) -> None:
    """See :meth:`JobStore.report`."""
    with database.writing() as connection:
        now, text = database.now(connection), status.model_dump_json()
        own = update(replicas).where(replicas.c.replica == status.replica)
        if connection.execute(own.values(report=text, reported=now)).rowcount == 0:
            connection.execute(insert(replicas).values(replica=status.replica, report=text, reported=now))
        connection.execute(delete(replicas).where(replicas.c.reported < now - REMEMBERED_S))


def reports(database: Database) -> list[ReplicaStatus]:
    """See :meth:`JobStore.replicas`."""
    with database.reading() as connection:
        now = database.now(connection)
        rows = connection.execute(select(replicas).order_by(replicas.c.replica)).mappings().all()
    found = []
    for row in rows:
        status = ReplicaReport.model_validate_json(row["report"])
        live = abs(now - row["reported"]) < LIVE_S  # not one from before the clock was set back either
        found.append(
            ReplicaStatus(
                **{name: getattr(status, name) for name in ReplicaReport.model_fields},
                reported=moment(row["reported"]),
                live=live,
            )
        )
    return found


def forget(database: Database, replica: str) -> None:
    """See :meth:`JobStore.forget`."""
    with database.writing() as connection:
        connection.execute(delete(replicas).where(replicas.c.replica == replica))


def hold(database: Database, model: str, manifest: str, serve: str, actor: str) -> Hold:
    """See :meth:`JobStore.hold`."""
    with database.writing() as connection:
        database.serialise(connection, Lock.HOLDS)
        now = database.now(connection)
        connection.execute(delete(holds).where(holds.c.model == model))
        connection.execute(
            insert(holds).values(model=model, manifest=manifest, serve=serve, since=now, actor=actor)
        )
    return Hold(model, manifest, serve, moment(now), actor)


def lift_hold(database: Database, model: str, manifest: str | None) -> bool:
    """See :meth:`JobStore.lift_hold`."""
    statement = delete(holds).where(holds.c.model == model)
    if manifest is not None:
        statement = statement.where(holds.c.manifest == manifest)
    with database.writing() as connection:
        return connection.execute(statement).rowcount > 0


def all_holds(database: Database) -> list[Hold]:
    """See :meth:`JobStore.holds`."""
    with database.reading() as connection:
        rows = connection.execute(select(holds).order_by(holds.c.model)).mappings().all()
    return [
        Hold(row["model"], row["manifest"], row["serve"], moment(row["since"]), row["actor"]) for row in rows
    ]


def count(database: Database, increments: Mapping[Sample, float]) -> None:
    """See :meth:`JobStore.count`."""
    with database.writing() as connection:
        add(database, connection, increments)


def add(database: Database, connection: Connection, increments: Mapping[Sample, float]) -> None:
    """Add to counters within a transaction, as its last act."""
    # In one order everywhere: two processes that add to the same counters never wait for each other.
    for sample in sorted(increments):
        labels = json.dumps(list(sample.labels))
        database.increment(connection, sample.name, labels, increments[sample])


def all_counters(database: Database) -> dict[Sample, float]:
    """See :meth:`JobStore.counters`."""
    with database.reading() as connection:
        rows = connection.execute(select(counters)).mappings().all()
    return {Sample(row["name"], tuple(json.loads(row["labels"]))): row["value"] for row in rows}
