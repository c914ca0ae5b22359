"""Whether lines are what was written: each matches its own hash and follows the one before."""

from __future__ import annotations

from dataclasses import dataclass

from orchestration.registry.entry import Entry
from orchestration.registry.lines import GENESIS, parse
from orchestration.registry.store import StoredLines


@dataclass(frozen=True)
class Chain:
    """The entries of a ledger and what is wrong with it.

    Attributes:
        entries: in order, up to the first line that is none.
        hashes: of every entry, those of later versions included.
        problems: damage, one line each; empty if every byte is as it was written.
        remarks: what counts for nothing, one line each.
        newer: name of the first line that a later version wrote; None if there is none.
    """

    entries: tuple[Entry, ...]
    hashes: tuple[str, ...]
    problems: tuple[str, ...]
    remarks: tuple[str, ...]
    newer: str | None

    @property
    def head(self) -> str | None:
        """The hash of the last entry; None without entries."""
        return self.hashes[-1] if self.hashes else None


def check_chain(stored: StoredLines) -> Chain:
    """Verify every line."""
    entries: list[Entry] = []
    hashes: list[str] = []
    problems: list[str] = []
    newer = None
    for number, (name, content) in enumerate(zip(stored.names, stored.lines, strict=True)):
        line = parse(content)
        if line is None:
            problems.append(f"{name} is not a ledger entry")
            break
        if not line.intact:
            problems.append(f"{name} does not match its own hash")
        previous = hashes[-1] if hashes else GENESIS
        if line.previous != previous or line.seq != number:
            before = stored.names[number - 1] if number else "the beginning"
            problems.append(f"{name} does not follow {before}")
        hashes.append(line.hash)
        if line.entry is None:
            newer = newer or name
        else:
            entries.append(line.entry)
    return Chain(tuple(entries), tuple(hashes), (*problems, *stored.problems), stored.remarks, newer)
