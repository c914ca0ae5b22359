"""The database of the job store: sqlite in a file or PostgreSQL, and all that differs between them."""

from __future__ import annotations

import enum
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Select, create_engine, event, func, insert, inspect, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from core.errors import AnimaticError
from orchestration.serving.jobs.records import JobStoreError
from orchestration.serving.jobs.tables import VERSION, counters, metadata, schema

_WRITE = "animatic_write"
_BUSY_MS = 20_000
# A server that is gone without a word is noticed within seconds, not after the two hours of TCP.
_CONNECTION = {
    "connect_timeout": 10, "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}  # fmt: skip
_TIMEOUTS = ("statement_timeout", "idle_in_transaction_session_timeout")


class Lock(enum.IntEnum):
    """Transactions that must see each other's rows before they decide; keys of advisory locks."""

    SCHEMA = 0x616E696D00
    SUBMISSION = 0x616E696D01
    UPKEEP = 0x616E696D02
    HOLDS = 0x616E696D03


class Database:
    """Connections and transactions."""

    def __init__(self, url: str, clock: Callable[[], float] | None = None) -> None:
        """Args:
            url: ``sqlite:///FILE`` or ``postgresql://…``, with a password if it needs one.
            clock: seconds since 1970; None takes that of PostgreSQL's server, or this machine's.

        Raises:
            AnimaticError: another kind of database, or its schema is of a later version.
            JobStoreError: it does not answer.
        """
        self._clock = clock
        parsed = _parsed(url)
        # Without what follows "?", which may be a password too.
        self.name = parsed.set(query={}).render_as_string(hide_password=True)
        self.is_sqlite = parsed.get_backend_name() == "sqlite"
        self._engine = self._sqlite(parsed) if self.is_sqlite else _postgresql(parsed)
        self._writing = self._engine.execution_options(**{_WRITE: True})
        self._create_tables()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """One consistent view. Raises JobStoreError."""
        with self._errors(), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that is durable at its end. Raises JobStoreError."""
        with self._errors(), self._writing.begin() as connection:
            yield connection

    def now(self, connection: Connection) -> float:
        """The time that all processes agree on."""
        if self._clock is not None:
            return self._clock()
        if self.is_sqlite:
            return time.time()
        return float(connection.scalar(select(func.extract("epoch", func.clock_timestamp()))) or 0)

    def serialise(self, connection: Connection, lock: Lock) -> None:
        """Let only one transaction with this lock continue at a time; of sqlite only one writes anyway."""
        if not self.is_sqlite:
            connection.execute(select(func.pg_advisory_xact_lock(int(lock))))

    def skip_locked(self, statement: Select[tuple[int]]) -> Select[tuple[int]]:
        """Rows that no other transaction has locked, to be locked; in sqlite no other writes now."""
        return statement if self.is_sqlite else statement.with_for_update(skip_locked=True)

    def increment(self, connection: Connection, name: str, labels: str, by: float) -> None:
        """Add to a counter."""
        dialect: Any = sqlite if self.is_sqlite else postgresql
        statement = dialect.insert(counters).values(name=name, labels=labels, value=by)
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=[counters.c.name, counters.c.labels],
                set_={"value": counters.c.value + statement.excluded.value},
            )
        )

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError as error:
            reason = " ".join(str(getattr(error, "orig", None) or error).split())
            reason = reason.partition(" DETAIL: ")[0]  # what PostgreSQL adds quotes rows
            raise JobStoreError(f"the job store {self.name} failed: {reason}") from error

    def _sqlite(self, url: URL) -> Engine:
        if not url.database or url.database == ":memory:":
            raise AnimaticError("the job store needs a file: several processes use it")
        folder = Path(url.database).parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise AnimaticError(f"{folder} cannot be created for the job store: {error.strerror}") from error
        engine = create_engine(url)

        @event.listens_for(engine, "connect")
        def _connect(connection: Any, record: object) -> None:
            # BEGIN is ours, in _begin: the driver's own would let a reader become a writer, and fail.
            connection.isolation_level = None
            connection.execute(f"PRAGMA busy_timeout={_BUSY_MS}")
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")  # an accepted job survives a loss of power

        @event.listens_for(engine, "begin")
        def _begin(connection: Connection) -> None:
            write = connection.get_execution_options().get(_WRITE, False)
            connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

        return engine

    def _create_tables(self) -> None:
        with self.writing() as connection:
            self.serialise(connection, Lock.SCHEMA)
            if not inspect(connection).has_table(schema.name):
                metadata.create_all(connection)
                connection.execute(insert(schema).values(version=VERSION))
            version = connection.scalar(select(schema.c.version))
        if version != VERSION:
            raise AnimaticError(
                f"the job store {self.name} is of version {version}, this installation uses {VERSION}: "
                "update it, or configure another database"
            )


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:  # the latter for a port that is no number
        raise AnimaticError(
            "the job store's URL cannot be read: give sqlite:///FILE or postgresql://…"
        ) from error
    if parsed.drivername in ("postgresql", "postgres"):
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername not in ("sqlite", "postgresql+psycopg"):
        raise AnimaticError(
            f"the job store cannot be in {parsed.drivername}: give sqlite:///FILE or postgresql://…"
        )
    return parsed


def _postgresql(url: URL) -> Engine:
    # Connections that a restarted server has closed are replaced before they are used.
    engine = create_engine(url, pool_pre_ping=True, connect_args=_CONNECTION)

    @event.listens_for(engine, "connect")
    def _connect(connection: Any, record: object) -> None:
        with connection.cursor() as cursor:
            for timeout in _TIMEOUTS:
                cursor.execute(f"SET {timeout} = '60s'")
        connection.commit()

    return engine
