"""Lines of tables as text, whatever their format, and the rules for text that cannot be stored."""

from collections.abc import Iterable, Iterator, Sequence
from typing import BinaryIO, NamedTuple, Protocol

from pipelines.sources.readers.dialect import Dialect

BATCH = 1024  # lines
MAX_FIELD_CHARS = 1 << 20
_KEPT_CHARS = 1000  # of a field that is longer


class Line(NamedTuple):
    """One line of a table.

    ``fault`` is empty if it has as many fields as there are columns, all of them storable. Of another line,
    ``record`` is what could be read, with other bytes written as backslash escapes.
    """

    record: dict[str, str]
    fault: str = ""


class Reader(Protocol):
    """Reads one format. Lines come in batches, blank ones are skipped.

    Every method raises what ``UNREADABLE`` in :mod:`pipelines.sources.readers` lists if the file is damaged.

    Attributes:
        notice: what was found out about the format and is not the rule, for people; may be empty.
    """

    notice: str

    @property
    def dialect(self) -> Dialect | None:
        """How delimited values are written; None in other formats."""
        ...

    def columns(self, data: BinaryIO) -> list[str]:
        """Names of the columns."""
        ...

    def lines(self, data: BinaryIO) -> Iterator[list[Line]]:
        """Every line."""
        ...

    def cells(self, data: BinaryIO, names: Sequence[str]) -> Iterator[list[list[str]]]:
        """Some columns of every line, a list for each, faster than ``lines``; empty where a line lacks it."""
        ...


def is_storable(text: str) -> bool:
    """Whether a text can be encoded and is free of NUL."""
    if "\0" in text:
        return False
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def fault_of(values: Iterable[str]) -> str:
    """Why a line with these fields is malformed; empty if it is not."""
    for value in values:
        if len(value) > MAX_FIELD_CHARS:
            return f"a field of {len(value)} characters, more than {MAX_FIELD_CHARS}"
        if "\0" in value:
            return "a NUL byte"
        if not is_storable(value):
            return "not UTF-8; if the table has another encoding, set it, as in csv.encoding=cp1252"
    return ""


def escaped(record: dict[str, str]) -> dict[str, str]:
    """The record with bytes that are not UTF-8 written as backslash escapes."""
    return {escaped_text(name): escaped_text(value) for name, value in record.items()}


def shortened(record: dict[str, str]) -> dict[str, str]:
    """The record with the beginnings of fields that are too long to be stored."""
    return {
        name: value if len(value) <= MAX_FIELD_CHARS else f"{value[:_KEPT_CHARS]}…"
        for name, value in record.items()
    }


def escaped_text(text: str) -> str:
    """The text with bytes that are not UTF-8 written as backslash escapes."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()
