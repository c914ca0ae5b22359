"""Tables of one JSON object a line."""

import itertools
import json
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

from pipelines.sources.readers.lines import BATCH, Line, escaped, escaped_text, is_storable

_MAX_LINE_BYTES = 16 << 20
_KEPT_BYTES = 1000  # of a line that is not an object
_AS_WRITTEN = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=str)


class JsonlReader:
    """Reads JSON objects; numbers and nested values become text as they are written."""

    notice = ""
    dialect = None

    def columns(self, data: BinaryIO) -> list[str]:
        """Names in the first object; others may have more or fewer."""
        first = next((line.record for line in _lines(data) if not line.fault), {})
        return list(first)

    def lines(self, data: BinaryIO) -> Iterator[list[Line]]:
        """Every line."""
        lines = _lines(data)
        while batch := list(itertools.islice(lines, BATCH)):
            yield batch

    def cells(self, data: BinaryIO, names: Sequence[str]) -> Iterator[list[list[str]]]:
        """Some values of every object; the other values are not made into text."""
        rows = (_cells(line, names) if is_whole else [""] * len(names) for line, is_whole in _raw(data))
        while batch := list(itertools.islice(rows, BATCH)):
            yield [list(column) for column in zip(*batch, strict=True)]


def json_text(value: Any) -> str:
    """A nested value as JSON; nothing for null."""
    return "" if value is None else json.dumps(value, ensure_ascii=False, default=str)


def _lines(data: BinaryIO) -> Iterator[Line]:
    for line, is_whole in _raw(data):
        yield _line(line) if is_whole else _invalid(line, f"more than {_MAX_LINE_BYTES} bytes")


def _raw(data: BinaryIO) -> Iterator[tuple[bytes, bool]]:
    """Every line but blank ones, and whether it is whole: of a longer one only the beginning is kept."""
    first = True
    while line := data.readline(_MAX_LINE_BYTES):
        is_whole = len(line) < _MAX_LINE_BYTES
        rest = line
        while not rest.endswith(b"\n") and len(rest) == _MAX_LINE_BYTES:
            rest = data.readline(_MAX_LINE_BYTES)
        if first:
            line, first = line.removeprefix(b"\xef\xbb\xbf"), False
        if line.strip():
            yield line, is_whole


def _parsed(line: bytes) -> Any:
    """What ``json.loads`` returns, with numbers as they are written; making its decoder costs more than one
    line."""
    is_usual = line[:1] == b"{" and line[1:2] != b"\0"
    encoding = "utf-8" if is_usual else json.detect_encoding(line)
    return _AS_WRITTEN.decode(line.decode(encoding, "surrogatepass"))


def _line(line: bytes) -> Line:
    try:
        value = _parsed(line)
        if not isinstance(value, dict):
            return _invalid(line, "no JSON object")
        is_nested = any(isinstance(cell, dict | list) for cell in value.values())
        return record_line(value, json.loads(line) if is_nested else {})
    except (ValueError, RecursionError) as error:
        return _invalid(line, f"no JSON object: {error}"[:200])


def _cells(line: bytes, names: Sequence[str]) -> list[str]:
    """The cells that ``_line`` has of columns ``names``, empty where it has none."""
    try:
        value = _parsed(line)
    except (ValueError, RecursionError):
        return [""] * len(names)
    found = [value.get(name, "") for name in names] if isinstance(value, dict) else [""] * len(names)
    if any(isinstance(cell, dict | list) for cell in found):
        record = _line(line).record
        return [record.get(name, "") for name in names]
    return [escaped_text(cell) if isinstance(cell, str) else json_text(cell) for cell in found]


def record_line(value: dict[str, Any], nested: dict[str, Any]) -> Line:
    """The line of an object; ``nested`` has its nested values with numbers parsed."""
    record = {
        name: cell if isinstance(cell, str) else json_text(nested.get(name, cell))
        for name, cell in value.items()
    }
    if is_storable("".join(record)) and is_storable("".join(record.values())):
        return Line(record)
    return Line(escaped(record), "a NUL or a lone surrogate")


def _invalid(line: bytes, fault: str) -> Line:
    return Line({"line": line[:_KEPT_BYTES].decode("utf-8", "backslashreplace").rstrip("\n")}, fault)
