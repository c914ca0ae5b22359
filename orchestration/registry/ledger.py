"""The append-only, hash-chained record of what became of bundles.

Every entry carries the hash of the entry before it, so an edit, a removal or a reordering anywhere but at the
very end breaks the chain. Two writers never both add one entry: a local file is written under a lock, an
object store creates the next numbered object only if it is absent.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from core.errors import AnimaticError
from core.host import host_name
from core.storage import Folder
from core.urls import has_credentials, is_url, scheme_of, without_credentials
from orchestration.registry.chain import Chain, check_chain
from orchestration.registry.entry import Draft, Entry
from orchestration.registry.history import History, Snapshot
from orchestration.registry.lines import GENESIS, seal
from orchestration.registry.local_store import LocalStore
from orchestration.registry.object_store import ObjectStore
from orchestration.registry.store import LedgerStore

T = TypeVar("T")
# Whose file systems send the condition of a create with the request; others look first and write then.
CONDITIONAL_SCHEMES = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss"})
# A writer is only ever delayed by others that succeed: of as many, each has its turn.
_MOST_LOSSES = 1000
_HEAD = re.compile(r"[0-9a-f]{12,64}")


class Ledger(History):
    """The ledger in the folder of a registry: a local path, or a URL of an object store."""

    def __init__(self, registry: str | Path, store: LedgerStore | None = None) -> None:
        """Read nothing yet.

        Args:
            store: in place of the one for ``registry``.

        Raises:
            AnimaticError: a URL of a kind that cannot create an object only if it is absent.
        """
        self.store = store or open_store(registry)

    def __str__(self) -> str:
        return without_credentials(str(self.store))

    @property
    def folder(self) -> Folder:
        """The folder of the registry, which contains the evidence of promotions too."""
        return self.store.folder

    @property
    def base(self) -> Path | None:
        """The folder of the registry on this machine; None in an object store."""
        return self.store.base

    def check(self, expect_head: str | None = None) -> Chain:
        """Everything in the ledger, verified; damage is in the result.

        Args:
            expect_head: the hash of an entry that must be there, or its first 12 digits or more: without it,
                entries that are cut off the end are not missed.

        Raises:
            AnimaticError: the store cannot be read, or ``expect_head`` is no such hash.
        """
        if expect_head is not None and not _HEAD.fullmatch(expect_head):
            raise AnimaticError(
                f"{expect_head!r} is not the hash of an entry: give its first 12 to 64 digits (0-9, a-f), as "
                "`animatic registry verify` prints"
            )
        chain = check_chain(self.store.read())
        if expect_head is None or any(found.startswith(expect_head) for found in chain.hashes):
            return chain
        missing = f"no entry has the hash {expect_head}: the end was cut off, or replaced"
        return dataclasses.replace(chain, problems=(*chain.problems, missing))

    def verify(self, expect_head: str | None = None) -> list[str]:
        """What is wrong with the ledger, one line each; empty if it is intact. As :meth:`check`."""
        return list(self.check(expect_head).problems)

    def entries(self) -> list[Entry]:
        """All events, oldest first.

        Raises:
            AnimaticError: an entry does not parse or does not match the chain, or a later version wrote it.
        """
        return self._trusted(self.check())

    def update(self, decide: Callable[[History], Draft | T]) -> Entry | T:
        """Add one event that depends on those before it, durably.

        Args:
            decide: the event, given all entries; anything else that it returns is returned as it is, and
                nothing is added. Where another writer was first, it is asked again, with the new entries. It
                must be quick: other writers may wait. What it raises ends the update.

        Raises:
            AnimaticError: the ledger is damaged, locked for too long, or does not answer.
        """
        known: Sequence[bytes] = ()
        for _ in range(_MOST_LOSSES):
            with self.store.writing():
                stored = self.store.read(known)
                chain, known = check_chain(stored), stored.lines
                entries = self._trusted(chain)
                draft = decide(Snapshot(str(self), self.base, tuple(entries)))
                if not isinstance(draft, Draft):
                    return draft
                path = self._portable(draft.bundle_path)
                host = "" if self.base is not None else host_name()
                entry, line = seal(draft.entry(len(entries), chain.head or GENESIS, path, host))
                if self.store.append(entry.seq, line):
                    return entry
        raise AnimaticError(f"other writers were first {_MOST_LOSSES} times at {self}: run the command again")

    def append(self, draft: Draft) -> Entry:
        """Add one event that depends on no other. Raises as :meth:`update`."""
        entry = self.update(lambda _: draft)
        assert isinstance(entry, Entry)
        return entry

    def _trusted(self, chain: Chain) -> list[Entry]:
        if chain.problems:
            raise AnimaticError(
                f"the ledger {self} cannot be trusted: {chain.problems[0]}; restore it from a backup "
                "(`animatic registry verify` lists all problems)"
            )
        if chain.newer is not None:
            raise AnimaticError(
                f"{chain.newer} of the ledger {self} was written by a newer version of animatic: update this "
                "installation (`animatic registry verify` works)"
            )
        return list(chain.entries)

    def _portable(self, bundle: Path) -> str:
        """Relative to a local registry where the bundle is below it, so that both can move together."""
        bundle = Path(bundle).resolve()
        base = None if self.base is None else self.base.resolve()
        if base is not None and bundle.is_relative_to(base):
            return bundle.relative_to(base).as_posix()
        return str(bundle)


def open_store(registry: str | Path) -> LedgerStore:
    """The store of a registry's folder.

    Raises:
        AnimaticError: a URL of a kind that cannot create an object only if it is absent.
    """
    location = str(registry)
    if not is_url(location):
        return LocalStore(Path(registry))
    if scheme_of(location) not in CONDITIONAL_SCHEMES | {"file"}:
        raise AnimaticError(
            f"a ledger cannot be in {without_credentials(location)}: {scheme_of(location)}:// has no way to "
            "create a file only if it is absent, so two writers could both win; use a local folder, s3://, "
            "gs:// or az://"
        )
    if has_credentials(location):
        raise AnimaticError(
            f"a registry's URL must contain no password, token or signature: {without_credentials(location)} "
            "is enough; its store reads credentials from the environment or a file"
        )
    folder = Folder(location)
    return ObjectStore(folder) if folder.local_path is None else LocalStore(folder.local_path)
