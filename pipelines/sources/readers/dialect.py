"""How a file of delimited values is written: found from its first bytes, unless settings name it."""

import codecs
import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.sources.csv_settings import CsvSettings
from pipelines.sources.readers.paths import has_column

HEAD_BYTES = 1 << 20
_DELIMITERS = (",", ";", "\t", "|")
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_NUL_SHARE = 0.4  # of the bytes of UTF-16 text, most of whose characters are ASCII
# Lines that are not UTF-8 are counted one by one below this share; above it the table has another encoding.
_FAULTY_SHARE = 0.05
# In which almost any bytes can be read comes last.
_ENCODINGS = ("gb18030", "shift_jis", "euc_kr", "cp1252", "latin-1")
# \" inside a field: what follows is no end of one.
_ESCAPED_QUOTE = re.compile(r'(?<!\\)\\"(?![,;\t|\r\n]|$)')


@dataclass(frozen=True)
class Dialect:
    """How the fields of a file are separated and encoded.

    Attributes:
        delimiter: between fields.
        escape: before a quote within a quoted field; None: such quotes are doubled.
        encoding: Python's name.
        skips_blanks: whether blanks after a delimiter are part of no field.
        notice: what was found and is not the rule, for people; empty if nothing is.
    """

    delimiter: str
    escape: str | None
    encoding: str
    skips_blanks: bool
    notice: str


def find_dialect(head: bytes, settings: CsvSettings, usual: str, needed: Sequence[str]) -> Dialect:
    """The dialect of a file.

    Args:
        head: its first bytes, up to HEAD_BYTES.
        settings: what is not to be found.
        usual: the delimiter, unless another one alone gives the header all ``needed`` columns.
        needed: names of columns.
    """
    encoding = _plain_utf8(settings.encoding) if settings.encoding else _encoding(head)
    text = head.decode(encoding, errors="replace")
    escape = settings.escape or _escape(text)
    escape = None if escape == '"' else escape
    header = re.split(r"[\r\n]", text.lstrip("\r\n"), maxsplit=1)[0]
    delimiter = settings.delimiter or _delimiter(header, usual, needed)
    cells = split_header(header, delimiter)
    found = {
        "csv.encoding": "" if settings.encoding or encoding == "utf-8-sig" else encoding,
        "csv.delimiter": "" if settings.delimiter or delimiter == usual else repr(delimiter),
        "csv.escape": "" if settings.escape or escape is None else escape,
    }
    parts = [f"{name}={value}" for name, value in found.items() if value]
    if encoding == "utf-8-sig" and not settings.encoding:
        parts += _other_encodings(head)
    notice = ", ".join(parts)
    skips_blanks = len(cells) > 1 and all(cell.startswith(" ") for cell in cells[1:])
    return Dialect(delimiter, escape, encoding, skips_blanks, notice)


def split_header(line: str, delimiter: str) -> list[str]:
    """Cells of a header that contains no line break; none if it cannot be split."""
    try:
        return next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error:
        return []


def _encoding(head: bytes) -> str:
    if head.startswith(_UTF_16):
        return "utf-16"
    even, odd = head[:4096:2], head[1:4096:2]
    if odd and odd.count(0) > _NUL_SHARE * len(odd) and not even.count(0):
        return "utf-16-le"
    if odd and even.count(0) > _NUL_SHARE * len(even) and not odd.count(0):
        return "utf-16-be"
    return "utf-8-sig"


def _other_encodings(head: bytes) -> list[str]:
    """A part of the notice if many lines are not UTF-8, with encodings in which all can be read."""
    lines = head.splitlines()
    faulty = [line for line in lines if not _is_in(line, "utf-8")]
    # The last line may be cut within a character.
    if len(faulty) <= max(1, _FAULTY_SHARE * len(lines)) and faulty != lines:
        return []
    readable = [name for name in _ENCODINGS if all(_is_in(line, name) for line in faulty)]
    fix = f"csv.encoding sets it, as one of {', '.join(readable)}" if readable else "csv.encoding sets it"
    return [f"{len(faulty)} of its first {len(lines)} lines malformed, which are not UTF-8 ({fix})"]


def _is_in(line: bytes, encoding: str) -> bool:
    try:
        line.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _plain_utf8(encoding: str) -> str:
    """UTF-8 by whatever name, with or without a byte order mark; any other encoding as it is."""
    return "utf-8-sig" if codecs.lookup(encoding).name == "utf-8" else encoding


def _escape(text: str) -> str | None:
    return "\\" if '""' not in text and _ESCAPED_QUOTE.search(text) else None


def _delimiter(header: str, usual: str, needed: Sequence[str]) -> str:
    for delimiter in (usual, *_DELIMITERS):
        columns = [cell.strip() for cell in split_header(header, delimiter)]
        if all(has_column(name, columns) for name in needed):
            return delimiter
    return usual
