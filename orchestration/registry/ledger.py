"""The append-only, hash-chained record of which bundle was accepted, promoted or rolled back.

One JSON object a line. Every entry carries the hash of the entry before it, so an edit, a removal or a
reordering anywhere but at the very end breaks the chain. Writers hold a file lock and fsync before they
return: a returned entry survives a crash.
"""

from __future__ import annotations

import getpass
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from core.canonical_json import COMPACT_ESCAPED
from core.config.identity import IdentityFormat
from core.errors import AnimaticError
from core.journal import JournalWriter, read_lines
from core.lock import file_lock

Kind = Literal["accepted", "promoted", "rolled_back"]
GENESIS = "0" * 64
LOCK_TIMEOUT_S = 30.0
# What a hash covers. Fields that are added to Entry later count only once they leave their default, so that
# the chain of an older ledger stays valid.
HASHED = IdentityFormat(
    {
        "": (
            "seq",
            "time",
            "kind",
            "bundle_id",
            "bundle_path",
            "stage",
            "preset",
            "actor",
            "replaced",
            "note",
            "previous",
        )
    },
    excluded={"hash"},
)


class Entry(BaseModel):
    """One event. ``previous`` and ``hash`` chain it; ``replaced`` is the id of the previous champion."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seq: int
    time: str
    kind: Kind
    bundle_id: str
    bundle_path: str
    stage: int
    preset: str
    actor: str
    replaced: str | None = None
    note: str = ""
    previous: str
    hash: str = ""

    def digest(self) -> str:
        """sha256 of the fields in ``HASHED``, as ``COMPACT_ESCAPED`` writes them."""
        return COMPACT_ESCAPED.digest(HASHED.values(self))


class Ledger:
    """The ledger file at ``path``, created by the first append."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)

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
        """Add one event durably and return it.

        Raises:
            AnimaticError: the ledger is damaged, or another process holds its lock for too long.
        """
        with file_lock(self.path.with_name(f"{self.path.name}.lock"), LOCK_TIMEOUT_S):
            entries = self.entries()
            draft = Entry(
                seq=len(entries),
                time=datetime.now(UTC).isoformat(timespec="seconds"),
                kind=kind,
                bundle_id=bundle_id,
                bundle_path=self._portable(bundle_path),
                stage=stage,
                preset=preset,
                actor=actor or whoami(),
                replaced=replaced,
                note=note,
                previous=entries[-1].hash if entries else GENESIS,
            )
            entry = draft.model_copy(update={"hash": draft.digest()})
            with JournalWriter(self.path) as file:
                file.append_line(entry.model_dump_json().encode())
        return entry

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

    def newest(self, stage: int, preset: str) -> Entry | None:
        """The bundle of ``stage`` and ``preset`` accepted last."""
        matches = [e for e in self.entries() if (e.kind, e.stage, e.preset) == ("accepted", stage, preset)]
        return matches[-1] if matches else None

    def accepted(self, bundle_id: str) -> Entry | None:
        """The newest acceptance of this bundle."""
        matches = [e for e in self.entries() if e.kind == "accepted" and e.bundle_id == bundle_id]
        return matches[-1] if matches else None

    def champions(self, preset: str) -> list[Entry]:
        """The promotions of ``preset`` that were not rolled back, oldest first: the last one is champion."""
        stack: list[Entry] = []
        for entry in self.entries():
            if entry.preset != preset:
                continue
            if entry.kind == "promoted":
                stack.append(entry)
            elif entry.kind == "rolled_back" and stack:
                stack.pop()
        return stack

    def champion(self, preset: str | None = None) -> Entry | None:
        """The champion of ``preset``; without a preset, of the one promoted or rolled back last."""
        if preset is None:
            moves = [e for e in self.entries() if e.kind != "accepted"]
            if not moves:
                return None
            preset = moves[-1].preset
        stack = self.champions(preset)
        return stack[-1] if stack else None

    def path_of(self, entry: Entry) -> Path:
        """The folder of an entry's bundle; paths below the ledger's folder are stored relative to it."""
        path = Path(entry.bundle_path)
        return path if path.is_absolute() else self.path.parent / path

    def _portable(self, bundle: Path) -> str:
        base, bundle = self.path.parent.resolve(), Path(bundle).resolve()
        return bundle.relative_to(base).as_posix() if bundle.is_relative_to(base) else str(bundle)

    def _read(self) -> tuple[list[Entry], list[str]]:
        entries: list[Entry] = []
        problems: list[str] = []
        previous = GENESIS
        for number, line in enumerate(read_lines(self.path)[0], start=1):
            try:
                entry = Entry.model_validate_json(line)
            except ValidationError:
                problems.append(f"line {number} is not a ledger entry")
                break
            if entry.hash != entry.digest():
                problems.append(f"line {number} does not match its own hash")
            if entry.previous != previous or entry.seq != number - 1:
                problems.append(f"line {number} does not follow line {number - 1}")
            previous = entry.hash
            entries.append(entry)
        return entries, problems


def whoami() -> str:
    """Who acts: ``ANIMATIC_ACTOR`` if set, otherwise the login name."""
    try:
        return os.environ.get("ANIMATIC_ACTOR") or getpass.getuser()
    except (KeyError, OSError):
        # Containers often run under a user id without a name.
        return f"uid-{os.getuid()}"
