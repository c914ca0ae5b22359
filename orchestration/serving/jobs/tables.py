"""The tables of the job store. Times are seconds since 1970, UTC; records are JSON."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

VERSION = 1
metadata = MetaData()

# sqlite numbers the rows of an INTEGER primary key by itself, and of no other.
_Number = BigInteger().with_variant(Integer(), "sqlite")

schema = Table("animatic_schema", metadata, Column("version", Integer, primary_key=True))

jobs = Table(
    "jobs",
    metadata,
    Column("seq", _Number, primary_key=True, autoincrement=True),
    Column("id", String(64), nullable=False, unique=True),
    Column("owner", String(200), nullable=False),
    Column("state", String(16), nullable=False),
    Column("model", String(128), nullable=False),
    Column("shape", String(64), nullable=False),  # jobs of one shape may be sampled together
    Column("spec", Text, nullable=False),
    Column("idempotency", String(200)),
    Column("request", String(64)),  # digest of the request that the key was used with
    Column("created", Float, nullable=False),
    Column("started", Float),
    Column("ended", Float),
    Column("expires", Float),
    Column("attempt", Integer, nullable=False, default=0),
    Column("lost", Integer, nullable=False, default=0),  # attempts whose leases have ended
    Column("batch", String(64)),
    Column("replica", String(200)),
    Column("lease", Float),
    Column("step", Integer),
    Column("steps", Integer),
    Column("remaining", Float),
    Column("cancel", Boolean, nullable=False, default=False),
    Column("error", Text),
    Column("made_by", Text),
    Column("mp4", Text),
    Column("gif", Text),
    Column("pictures", Boolean, nullable=False),  # whether they are in the results store yet
    Column("bytes", BigInteger, nullable=False),  # of its objects in the results store
    UniqueConstraint("owner", "idempotency"),
    Index("jobs_by_state", "state", "owner", "seq"),
    Index("jobs_by_owner", "owner", "started"),
    Index("jobs_by_batch", "batch"),
    # For upkeep, limits and lists, which would read all ended jobs otherwise, while nobody else can write.
    Index("jobs_of_owner", "owner", "seq"),
    Index("jobs_by_end", "state", "ended"),
    Index("jobs_by_expiry", "expires"),
    Index("jobs_by_bytes", "bytes"),
    sqlite_autoincrement=True,  # never the number of a removed row again: pages of the list stay in order
)

Index(
    "jobs_with_pictures",
    jobs.c.state,
    sqlite_where=jobs.c.pictures.is_(True),
    postgresql_where=jobs.c.pictures.is_(True),
)

# Submissions of the last minute, for the rate: rows of jobs can be deleted by their owners.
submissions = Table(
    "submissions",
    metadata,
    Column("id", _Number, primary_key=True, autoincrement=True),
    Column("owner", String(200), nullable=False),
    Column("at", Float, nullable=False),
    Index("submissions_by_owner", "owner", "at"),
)

replicas = Table(
    "replicas",
    metadata,
    Column("replica", String(200), primary_key=True),
    Column("report", Text, nullable=False),
    Column("reported", Float, nullable=False),
)

holds = Table(
    "holds",
    metadata,
    Column("model", String(100), primary_key=True),
    Column("manifest", String(64), nullable=False),
    Column("serve", String(64), nullable=False),
    Column("since", Float, nullable=False),
    Column("actor", String(200), nullable=False),
)

counters = Table(
    "counters",
    metadata,
    Column("name", String(100), primary_key=True),
    Column("labels", String(500), primary_key=True),
    Column("value", Float, nullable=False),
)
