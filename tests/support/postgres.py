"""A real PostgreSQL server for tests, as Debian installs it."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import psycopg

from tests.support.waiting import wait_until

PASSWORD = "not-to-be-printed"
_USER = "animatic"
_DEBIAN = "/usr/lib/postgresql"
_START_S = 60.0


def missing() -> str | None:
    """Why no server can be started here; None if one can."""
    if _program("postgres") is None or _program("initdb") is None:
        return "PostgreSQL is not installed: Debian's package is called postgresql"
    if os.geteuid() == 0 and _account() is None:
        return "PostgreSQL does not run as root, and there is no other user"
    return None


class PostgresServer:
    """A server with its files in a folder of its own, reached through a socket in it: no port is taken."""

    def __init__(self) -> None:
        # Not in pytest's folder, which only its own user can enter.
        self.folder = Path(tempfile.mkdtemp(prefix="animatic-postgres-", dir="/tmp"))
        self._account = _account() if os.geteuid() == 0 else None
        self._process: subprocess.Popen[bytes] | None = None
        password = self.folder / "password"
        password.write_text(PASSWORD)
        if self._account is not None:
            for path in (self.folder, password):
                os.chown(path, self._account.pw_uid, self._account.pw_gid)
        self._run(
            "initdb", "--username", _USER, "--pwfile", str(password), "--auth", "scram-sha-256", "--no-sync",
            "--encoding", "UTF8", "--locale", "C", "-D", str(self.folder / "data"),
        )  # fmt: skip

    @property
    def url(self) -> str:
        """Of its database, for SQLAlchemy."""
        return self.url_with(PASSWORD)

    def url_with(self, password: str) -> str:
        """The same with another password."""
        return f"postgresql://{_USER}:{password}@/postgres?host={self.folder}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        log = self.folder / "server.log"
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                [
                    *(str(_program("postgres")), "-D", str(self.folder / "data"), "-k", str(self.folder)),
                    *("-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=200"),
                ],
                stdout=file, stderr=file, cwd=self.folder, start_new_session=True, **self._identity(),
            )  # fmt: skip
        wait_until(self._answers, _START_S, lambda: self._ended(log))

    def stop(self) -> None:
        """Stop it at once: its clients lose their connections."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(timeout=30)
            self._process = None

    def clear(self) -> None:
        """Remove all tables."""
        with self.connection() as connection:
            connection.execute("DROP SCHEMA public CASCADE")
            connection.execute("CREATE SCHEMA public")

    def connection(self) -> psycopg.Connection[tuple[object, ...]]:
        """A connection that commits every statement."""
        return psycopg.connect(self.url, autocommit=True)

    def remove(self) -> None:
        """Stop it and remove its files."""
        self.stop()
        shutil.rmtree(self.folder)

    def _answers(self) -> bool:
        try:
            self.connection().close()
        except psycopg.OperationalError:
            return False
        return True

    def _ended(self, log: Path) -> str | None:
        ended = self._process is None or self._process.poll() is not None
        return log.read_text()[-2000:] if ended else None

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(_program(program)), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, cwd=self.folder, **self._identity())
        assert done.returncode == 0, done.stderr

    def _identity(self) -> dict[str, int | list[int]]:
        if self._account is None:
            return {}
        return {"user": self._account.pw_uid, "group": self._account.pw_gid, "extra_groups": []}


def _program(name: str) -> Path | None:
    debian = sorted(Path(_DEBIAN).glob(f"*/bin/{name}"))
    found = debian[-1] if debian else shutil.which(name)
    return None if found is None else Path(found)


def _account() -> pwd.struct_passwd | None:
    """A user that is not root."""
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    return None
