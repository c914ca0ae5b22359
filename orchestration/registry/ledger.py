"""The append-only, hash-chained record of which bundle was accepted, promoted or rolled back.

One JSON object a line. Every entry carries the hash of the entry before it, so an edit, a removal or a
reordering anywhere but at the very end breaks the chain. Writers hold a lock from their first look at the
entries until their own entry is on disk: a returned entry survives a crash.
"""

from __future__ import annotations

import getpass
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from core.errors import AnimaticError
from core.journal import JournalWriter, complete_last_line, torn_line, whole_lines
from core.lock import file_lock
from orchestration.registry.entry import GENESIS, Entry, Kind
from orchestration.registry.gate_record import GateRecord
from orchestration.registry.history import History

LOCK_TIMEOUT_S = 30.0


class Ledger(History):
    """The ledger file at ``path``, created by the first append."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)

    @contextmanager
    def writing(self) -> Iterator[LedgerWriter]:
        """Hold the ledger's lock: what is read and appended inside is one step for all other writers.

        Raises:
            AnimaticError: the ledger is damaged, or another process holds its lock for too long.
        """
        with file_lock(self.path.with_name(f"{self.path.name}.lock"), LOCK_TIMEOUT_S):
            yield LedgerWriter(self.path, self.entries())

    def append(
        self,
        kind: Kind,
        *,
        bundle_id: str,
        bundle_path: Path,
        stage: int,
        preset: str,
        actor: str | None = None,
        replaced: str | None = None,
        note: str = "",
    ) -> Entry:
        """Add one event that depends on no other; arguments and errors as of :meth:`LedgerWriter.append`."""
        with self.writing() as writer:
            return writer.append(
                kind,
                bundle_id=bundle_id,
                bundle_path=bundle_path,
                stage=stage,
                preset=preset,
                actor=actor,
                replaced=replaced,
                note=note,
            )

    def entries(self) -> list[Entry]:
        """All events, oldest first.

        Raises:
            AnimaticError: an entry does not parse or does not match the chain.
        """
        entries, problems = self._read()
        if problems:
            raise AnimaticError(
                f"the ledger {self.path} cannot be trusted: {problems[0]}; restore it from a backup"
            )
        return entries

    def verify(self) -> list[str]:
        """Defects of the chain, one line each; empty if it is intact."""
        return self._read()[1]

    def interrupted(self) -> bool:
        """Whether the file ends in a part of a line, which counts for nothing: a writer was killed, or the
        end was lost."""
        last = torn_line(_content(self.path))
        return bool(last) and _parsed(last) is None

    def _read(self) -> tuple[list[Entry], list[str]]:
        entries: list[Entry] = []
        problems: list[str] = []
        previous = GENESIS
        for number, line in enumerate(self._lines(), start=1):
            entry = _parsed(line)
            if entry is None:
                problems.append(f"line {number} is not a ledger entry")
                break
            if entry.hash != entry.digest():
                problems.append(f"line {number} does not match its own hash")
            if entry.previous != previous or entry.seq != number - 1:
                problems.append(f"line {number} does not follow line {number - 1}")
            previous = entry.hash
            entries.append(entry)
        return entries, problems

    def _lines(self) -> list[bytes]:
        """Whole lines, and a last one that lacks nothing but its newline, as some editors leave it."""
        content = _content(self.path)  # read once, since a writer may be at work
        last = torn_line(content)
        return [*whole_lines(content), *([last] if _parsed(last) else [])]


class LedgerWriter(History):
    """The ledger as its only writer sees it, from :meth:`Ledger.writing`."""

    def __init__(self, path: Path, entries: list[Entry]) -> None:
        self.path, self._entries = path, entries

    def entries(self) -> list[Entry]:
        """All events, oldest first, those appended here included."""
        return list(self._entries)

    def append(
        self,
        kind: Kind,
        *,
        bundle_id: str,
        bundle_path: Path,
        stage: int,
        preset: str,
        actor: str | None = None,
        replaced: str | None = None,
        note: str = "",
        gate: GateRecord | None = None,
        forced: str = "",
    ) -> Entry:
        """Add one event durably and return it."""
        draft = Entry(
            seq=len(self._entries),
            time=datetime.now(UTC).isoformat(timespec="seconds"),
            kind=kind,
            bundle_id=bundle_id,
            bundle_path=self._portable(bundle_path),
            stage=stage,
            preset=preset,
            actor=actor or whoami(),
            replaced=replaced,
            note=note,
            gate=gate,
            forced=forced,
            previous=self._entries[-1].hash if self._entries else GENESIS,
        )
        entry = draft.model_copy(update={"hash": draft.digest()})
        if _parsed(torn_line(_content(self.path))):
            complete_last_line(self.path)
        with JournalWriter(self.path) as file:
            file.append_line(entry.line())
        self._entries.append(entry)
        return entry

    def _portable(self, bundle: Path) -> str:
        base, bundle = self.path.parent.resolve(), Path(bundle).resolve()
        return bundle.relative_to(base).as_posix() if bundle.is_relative_to(base) else str(bundle)


def whoami() -> str:
    """Who acts: ``ANIMATIC_ACTOR`` if set, otherwise the login name."""
    try:
        return os.environ.get("ANIMATIC_ACTOR") or getpass.getuser()
    except (KeyError, OSError):
        # Containers often run under a user id without a name.
        return f"uid-{os.getuid()}"


def _content(path: Path) -> bytes:
    return path.read_bytes() if path.is_file() else b""


def _parsed(line: bytes) -> Entry | None:
    try:
        return Entry.model_validate_json(line)
    except ValidationError:
        return None
