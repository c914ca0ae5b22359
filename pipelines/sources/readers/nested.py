"""Values within nested columns, as ``annotation.caption`` or ``clip.span``: columns of their own."""

import json
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from pipelines.sources.readers.jsonl_reader import json_text
from pipelines.sources.readers.lines import Line, Reader, escaped, is_storable
from pipelines.sources.readers.paths import parent_of


class NestedReader:
    """Adds values within nested columns to the lines of another reader, by their paths.

    A path has dots between names. A list on the way has a value from each of its items. What a line lacks is
    empty.
    """

    def __init__(self, reader: Reader, paths: Sequence[str]) -> None:
        self._reader, self._paths = reader, paths
        self.notice, self.dialect = reader.notice, reader.dialect

    def columns(self, data: BinaryIO) -> list[str]:
        """Names of the columns, then those of the paths that begin with one."""
        columns = self._reader.columns(data)
        return columns + [path for path in self._paths if parent_of(path, columns) is not None]

    def lines(self, data: BinaryIO) -> Iterator[list[Line]]:
        """Every line."""
        for batch in self._reader.lines(data):
            yield [self._with_values(line) for line in batch]

    def cells(self, data: BinaryIO, names: Sequence[str]) -> Iterator[list[list[str]]]:
        """Some columns of every line."""
        # Which lines have a column of such a name is only known from the whole line.
        if not set(names) & set(self._paths):
            yield from self._reader.cells(data, names)
            return
        for batch in self.lines(data):
            yield [[line.record.get(name, "") for line in batch] for name in names]

    def _with_values(self, line: Line) -> Line:
        found: dict[str, str] = {}
        for path in self._paths:
            parent = parent_of(path, line.record)
            if parent is not None:
                found[path] = _value(line.record[parent], path[len(parent) + 1 :].split("."))
        record = line.record | found
        if is_storable("".join(found.values())):
            return Line(record, line.fault)
        return Line(escaped(record), line.fault or "a NUL or a lone surrogate")


def _value(text: str, names: Sequence[str]) -> str:
    try:
        value = json.loads(text) if text else None
    except (ValueError, RecursionError):
        return ""
    value = _within(value, names)
    return value if isinstance(value, str) else json_text(value)


def _within(value: object, names: Sequence[str]) -> object:
    if not names:
        return value
    if isinstance(value, list):
        found = [_within(item, names) for item in value]
        return None if all(item is None for item in found) else found
    return _within(value.get(names[0]), names[1:]) if isinstance(value, dict) else None
