"""JSON files that are one value: an array of objects, objects by id, or columns, read into memory."""

import itertools
import json
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

from core.errors import AnimaticError
from pipelines.sources.readers.jsonl_reader import JsonlReader, record_line
from pipelines.sources.readers.lines import BATCH, Line
from pipelines.sources.readers.paths import has_column

MAX_BYTES = 2 << 30

Parsed = tuple[Any, Any]  # a value with numbers as they are written, and with numbers parsed


class JsonReader:
    """Reads the objects of one JSON value.

    These are the items of an array; or the items of the array within an object whose items have the needed
    columns, as the sentences of MSR-VTT; or the values of an object, whose names are ids then; or rows of
    columns, as pandas writes them. Objects in lines of their own are read as JSON lines.
    """

    notice = ""
    dialect = None

    def __init__(self, path: str, videoid: str, needed: Sequence[str], join: str | None = None) -> None:
        """``join``: the array, of the same object, whose objects' values are added to the rows with their
        id."""
        self._path, self._videoid, self._needed, self._join = path, videoid, needed, join

    def columns(self, data: BinaryIO) -> list[str]:
        """Names in the first object; others may have more or fewer."""
        return list(next((line.record for line in self._lines(data) if not line.fault), {}))

    def lines(self, data: BinaryIO) -> Iterator[list[Line]]:
        """Every object."""
        lines = self._lines(data)
        while batch := list(itertools.islice(lines, BATCH)):
            yield batch

    def cells(self, data: BinaryIO, names: Sequence[str]) -> Iterator[list[list[str]]]:
        """Some values of every object."""
        for batch in self.lines(data):
            yield [[line.record.get(name, "") for line in batch] for name in names]

    def _lines(self, data: BinaryIO) -> Iterator[Line]:
        content = data.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise AnimaticError(f"{self._path} is larger than {MAX_BYTES} bytes: write it as JSON lines")
        try:
            # Numbers stay as they are written.
            written = json.loads(content, parse_int=str, parse_float=str, parse_constant=str)
            parsed = json.loads(content)
        except RecursionError as error:
            raise AnimaticError(f"{self._path} cannot be read: it is nested too deeply") from error
        for value, nested in self._objects(written, parsed):
            if isinstance(value, dict):
                yield record_line(value, nested)
            else:
                yield Line({"line": json.dumps(value)[:1000]}, "no JSON object")

    def _objects(self, written: Any, parsed: Any) -> Iterator[Parsed]:
        if self._join is not None and not (isinstance(written, dict) and _is_table(written.get(self._join))):
            raise AnimaticError(f"{self._path} has no array {self._join} of objects: unset columns.join")
        if isinstance(written, dict):
            arrays = [name for name in written if name != self._join and self._has_rows(written[name])]
            if len(arrays) == 1:
                if self._join is not None:
                    written, parsed = (self._joined(value, arrays[0]) for value in (written, parsed))
                else:
                    written, parsed = written[arrays[0]], parsed[arrays[0]]
            elif arrays:
                names = ", ".join(arrays)[:200]
                raise AnimaticError(
                    f"{self._path} has several arrays with the columns of a table ({names}): write the one "
                    "that is meant to a file of its own"
                )
        if isinstance(written, list):
            return zip(written, parsed, strict=True)
        if isinstance(written, dict) and written and all(isinstance(cell, dict) for cell in written.values()):
            if written.keys() >= set(self._needed):
                return _transposed(written, parsed)
            return self._by_id(written, parsed)
        return iter([(written, parsed)])

    def _has_rows(self, value: Any) -> bool:
        return _is_table(value) and all(has_column(name, value[0]) for name in self._needed)

    def _joined(self, whole: dict[str, Any], array: str) -> list[Any]:
        """The rows of an array with the values of the objects that have the same id."""
        assert self._join is not None
        others = {str(item.get(self._videoid)): item for item in whole[self._join] if isinstance(item, dict)}
        return [
            {**others.get(str(row.get(self._videoid)), {}), **row} if isinstance(row, dict) else row
            for row in whole[array]
        ]

    def _by_id(self, written: dict[str, Any], parsed: dict[str, Any]) -> Iterator[Parsed]:
        for name, value in written.items():
            yield {self._videoid: name, **value}, {self._videoid: name, **parsed[name]}


def _is_table(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def _transposed(written: dict[str, Any], parsed: dict[str, Any]) -> Iterator[Parsed]:
    indices = dict.fromkeys(itertools.chain.from_iterable(written.values()))
    for index in indices:
        yield _row(written, index), _row(parsed, index)


def _row(columns: dict[str, Any], index: str) -> dict[str, Any]:
    return {name: column.get(index) for name, column in columns.items()}


def json_reader(
    head: bytes, path: str, videoid: str, needed: Sequence[str], join: str | None = None
) -> JsonReader | JsonlReader:
    """The reader of a JSON file by its first bytes: a value that ends in the first of several lines begins
    JSON lines."""
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    first, _, rest = text.partition(b"\n")
    is_lines = bool(rest.strip()) and _is_value(first)
    return JsonlReader() if is_lines else JsonReader(path, videoid, needed, join)


def _is_value(line: bytes) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True
