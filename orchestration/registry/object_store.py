"""A ledger in an object store: one object for each entry, which only one writer can create."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

from core.errors import AnimaticError
from core.retry import RetryPolicy
from core.storage import Folder, StoreError, UnavailableError
from orchestration.registry.store import StoredLines

FOLDER = "ledger"
_NAME = re.compile(r"\d{8,}\.json")
# An answer that does not come leaves open whether the object was created: it is read back in each attempt.
_ATTEMPTS = RetryPolicy(attempts=5, pause_s=0.5, jitter=True, on=(UnavailableError,))


class ObjectStore:
    """The objects ``ledger/00000000.json``, ``ledger/00000001.json`` … below a URL.

    The store must honour *create only if absent*. The first entry is created twice to see that it does:
    servers that ignore the condition would let two writers win.
    """

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self.base = None

    def __str__(self) -> str:
        return f"{self.folder}/{FOLDER}"

    def read(self, known: Sequence[bytes] = ()) -> StoredLines:
        """Every object, in the order of the names; those that are known are not fetched."""
        return _ATTEMPTS.call(lambda: self._read(known))

    def _read(self, known: Sequence[bytes]) -> StoredLines:
        names = [name for name in self.folder.names(FOLDER) if _NAME.fullmatch(name)]
        names.sort(key=lambda name: int(name.partition(".")[0]))
        expected = [_name(number) for number in range(len(names))]
        problems = [f"{name} is missing" for name in expected if name not in names][:1]
        known = known if len(known) <= len(names) else ()
        fetched = self.folder.read_all([f"{FOLDER}/{name}" for name in names[len(known) :]])
        return StoredLines((*known, *fetched), tuple(names), tuple(problems))

    def writing(self) -> AbstractContextManager[None]:
        """Nothing: :meth:`append` finds other writers."""
        return nullcontext()

    def append(self, number: int, line: bytes) -> bool:
        """Create the object of an entry, unless another writer has.

        Raises:
            UnavailableError: the store does not answer, so that it is unknown whether the entry was recorded.
            StoreError: the store refuses.
            AnimaticError: the store creates an object twice.
        """
        name = f"{FOLDER}/{_name(number)}"

        def create() -> bool:
            try:
                self.folder.create(name, line)
                return True
            except FileNotFoundError as error:
                raise StoreError(f"{self.folder} cannot be written: its bucket does not exist") from error
            except FileExistsError:
                # Also what a repeated request gets whose first answer was lost: ids make every line unique.
                return self.folder.read(name) == line

        try:
            added = _ATTEMPTS.call(create)
            if added and number == 0:
                _ATTEMPTS.call(lambda: self._check_condition(name, line))
        except UnavailableError as error:
            raise UnavailableError(
                f"{error}: it is unknown whether the entry was recorded; look with `animatic registry` once "
                "the store answers"
            ) from error
        return added

    def _check_condition(self, name: str, line: bytes) -> None:
        try:
            self.folder.create(name, line)
        except FileExistsError:
            return
        self.folder.remove(name)
        raise AnimaticError(
            f"{self.folder} ignores the condition of a write (If-None-Match), so two writers could both win: "
            "use a store that honours it, or a local folder; nothing was recorded"
        )


def _name(number: int) -> str:
    return f"{number:08d}.json"
