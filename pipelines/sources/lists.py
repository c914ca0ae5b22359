"""Lists in cells of a table: as JSON, as Python writes them, or as numpy prints them."""

import ast
import io
import json
import re
import tokenize
from collections.abc import Iterable
from dataclasses import dataclass

_MAX_CHARS = 1 << 20
_NAN = "nan"  # what is left of an empty cell after pandas
_CLOCK = re.compile(r"(?:(\d+):)?(\d{1,2}):(\d{1,2}(?:\.\d+)?)")
_PAIRS = re.compile(r"\s*\[\s*[\[('\"]")  # how a list of times begins, unlike a date in brackets
_ITEM = (tokenize.STRING, tokenize.NUMBER)


@dataclass(frozen=True)
class Span:
    """A part of a video, in seconds from its first frame."""

    start: float
    end: float


def list_in(text: str) -> list[object] | None:
    """The list that a cell contains; None for any other text."""
    text = text.strip()
    if not (text.startswith("[") and text.endswith("]")) or len(text) > _MAX_CHARS:
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = _python_list(text)
    return value if isinstance(value, list) else None


def captions_in(text: str) -> list[str]:
    """The captions of a cell, without surrounding blanks: its text, or the texts of its list.

    Empty texts, nulls and NaN are none. A list that contains something else is an ordinary text.
    """
    text = text.strip()
    if not text.startswith("["):
        return _present([text])
    items = list_in(text)
    return _present(items if items is not None and all(map(_may_be_caption, items)) else [text])


def captions_by_span(text: str, times: str) -> list[list[str]]:
    """The captions of each span of a cell of ``times``: an item of the list for each, or the same for all.

    Without spans, those of the whole video, as one item. Raises ValueError as ``spans_in`` does, and for a
    list of another length.
    """
    count, items = len(spans_in(times)), list_in(text)
    if not count or items is None:
        return [captions_in(text)] * max(1, count)
    if len(items) != count:
        raise ValueError(f"{count} times, but {len(items)} captions")
    return [_present(item if isinstance(item, list | tuple) else [item]) for item in items]


def spans_in(text: str) -> list[Span]:
    """The spans of a cell: one pair of times or a list of pairs; none if it contains no list.

    A time is a number of seconds, or a text as ``75.5``, ``1:15.5`` or ``0:01:15.5``. Raises ValueError for
    another list, and for a span that does not end after its start.
    """
    items = list_in(text)
    if items is None and _PAIRS.match(text):
        raise ValueError("a list of times that cannot be read")
    if items is None:
        return []
    if not items:
        raise ValueError("an empty list of times")
    pairs = items if any(isinstance(item, list | tuple) for item in items) else [items]
    return [_span(pair) for pair in pairs]


def single_span(times: str) -> Span | None:
    """The span of a cell that is one pair of times and no list of pairs; None for any other."""
    items = list_in(times)
    if not items or any(isinstance(item, list | tuple) for item in items):
        return None
    try:
        return _span(items)
    except ValueError:
        return None


def is_caption(text: str) -> bool:
    """Whether a text without surrounding blanks is a caption, and neither empty nor NaN."""
    return bool(text) and (len(text) != len(_NAN) or text.lower() != _NAN)


def _may_be_caption(item: object) -> bool:
    return item is None or isinstance(item, str) or item != item  # NaN differs from itself


def _present(items: Iterable[object]) -> list[str]:
    return list(filter(is_caption, (item.strip() for item in items if isinstance(item, str))))


def _span(pair: object) -> Span:
    if not isinstance(pair, list | tuple) or len(pair) != 2:
        raise ValueError(f"{pair!r:.60} is no pair of times")
    start, end = (_seconds(time) for time in pair)
    if not 0 <= start < end < float("inf"):
        raise ValueError(f"{pair!r:.60} does not end after its start")
    return Span(start, end)


def _seconds(time: object) -> float:
    if isinstance(time, int | float) and not isinstance(time, bool):
        return float(time)
    if not isinstance(time, str):
        raise ValueError(f"{time!r:.60} is no time")
    clock = _CLOCK.fullmatch(time.strip())
    if clock is not None:
        hours, minutes, seconds = clock.groups()
        return int(hours or 0) * 3600 + int(minutes) * 60 + float(seconds)
    try:
        return float(time)
    except ValueError:
        raise ValueError(f"{time[:60]!r} is no time") from None


def _python_list(text: str) -> object:
    """A literal of Python. numpy prints arrays without commas, which Python would join: they are inserted."""
    parts: list[str] = []
    ends_item = False
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type in (tokenize.NEWLINE, tokenize.NL, tokenize.ENDMARKER):
                continue
            if ends_item and (token.type in _ITEM or token.string in ("[", "(")):
                parts.append(",")
            parts.append(token.string)
            ends_item = token.type in _ITEM or token.string in ("]", ")")
        return ast.literal_eval(" ".join(parts))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError, tokenize.TokenError):
        return None
