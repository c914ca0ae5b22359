"""Lines of tables as text, whatever their format, and the rules for text that cannot be stored."""

from collections.abc import Iterable, Iterator
from typing import BinaryIO, NamedTuple, Protocol

BATCH = 1024  # lines


class Line(NamedTuple):
    """One line of a table.

    ``valid``: it has as many fields as there are columns, and is UTF-8 without NUL. Of an invalid line,
    ``record`` is what could be read, with other bytes written as backslash escapes.
    """

    record: dict[str, str]
    valid: bool


class Reader(Protocol):
    """Reads one format. Lines come in batches, blank ones are skipped.

    Every method raises what ``UNREADABLE`` in :mod:`pipelines.sources.readers` lists if the file is damaged.
    """

    def columns(self, data: BinaryIO) -> list[str]:
        """Names of the columns."""
        ...

    def lines(self, data: BinaryIO) -> Iterator[list[Line]]:
        """Every line."""
        ...

    def column(self, data: BinaryIO, name: str) -> Iterator[list[str]]:
        """One column of every line, faster than ``lines``; empty where a line lacks it."""
        ...


def is_storable(values: Iterable[str]) -> bool:
    """Whether texts can all be encoded and are free of NUL."""
    text = "".join(values)
    if "\0" in text:
        return False
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def escaped(record: dict[str, str]) -> dict[str, str]:
    """The record with bytes that are not UTF-8 written as backslash escapes."""
    return {_escaped(name): _escaped(value) for name, value in record.items()}


def _escaped(text: str) -> str:
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()
