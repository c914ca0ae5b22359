"""Where the lines of a ledger are stored: a local file, or one object for each in an object store."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from core.storage import Folder


@dataclass(frozen=True)
class StoredLines:
    """What a store contains.

    Attributes:
        lines: of the entries in order, without newlines.
        names: what each line is called in messages, as ``line 3``.
        problems: damage of the store itself, one line each: what is missing between or follows the entries.
        remarks: what a killed writer left and counts for nothing, one line each.
    """

    lines: tuple[bytes, ...]
    names: tuple[str, ...]
    problems: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


class LedgerStore(Protocol):
    """Lines are only ever added at the end, by one writer at a time."""

    @property
    def folder(self) -> Folder:
        """The folder of the registry, which contains the evidence of promotions too."""

    @property
    def base(self) -> Path | None:
        """That folder on this machine, as it was given; None in an object store."""

    def read(self, known: Sequence[bytes] = ()) -> StoredLines:
        """All lines as they are stored now.

        Args:
            known: the first lines, as they were read a moment ago: a store may leave out to fetch them again.

        Raises:
            AnimaticError: the store cannot be read.
        """

    def writing(self) -> AbstractContextManager[None]:
        """Keeps other writers out where the store can; elsewhere :meth:`append` finds them."""

    def append(self, number: int, line: bytes) -> bool:
        """Add line ``number``, counted from 0, durably; False if another writer's is there already.

        Call it within :meth:`writing`, after :meth:`read` found ``number`` lines and no problem.
        """
