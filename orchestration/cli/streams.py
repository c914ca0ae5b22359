"""Standard output and error, whatever they are: terminals, pipes, full disks, other encodings, or closed."""

from __future__ import annotations

import io
import json
import os
import sys
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.text import Text

from core.errors import AnimaticError

# Control characters, surrogates (of file names that are not UTF-8), separators of lines and paragraphs.
_CONTROLS = {"Cc", "Cs", "Zl", "Zp"}
_DIRECTIONS = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


class PlainConsole(Console):
    """A console that prints text as it is: paths, prompts and names from outside are no markup.

    Characters that would control the terminal are written as escapes.
    """

    def render_str(self, text: str, **options: Any) -> Text:
        """The text with the given style; neither markup nor emoji codes are replaced in it."""
        return super().render_str(printable(text), **{**options, "emoji": False, "markup": False})


class Results(PlainConsole):
    """A console on stdout whose errors name stdout."""

    def print(self, *objects: Any, **options: Any) -> None:
        """As of Console. Raises AnimaticError if stdout cannot be written to."""
        with _writing():
            super().print(*objects, **options)


def printable(text: str, keep: str = "\n\t") -> str:
    """Text whose control characters, but those to ``keep``, are written as escapes.

    A terminal would obey them; those of writing direction would display a text in another order.
    """
    return "".join(
        ascii(letter)[1:-1] if _controls(letter) and letter not in keep else letter for letter in text
    )


def prepare_streams() -> None:
    """Have stdout and stderr write letters that their encoding lacks as escapes, in place of an error; and
    something at all where COLUMNS is 0."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    columns = os.environ.get("COLUMNS", "")
    if columns.isdigit() and int(columns) == 0:
        del os.environ["COLUMNS"]


def write_json(value: object, default: Callable[[object], object]) -> None:
    """Write one JSON object to stdout, if stdout is open.

    Raises:
        AnimaticError: stdout cannot be written to.
    """
    if sys.stdout is None:  # closed by the caller
        return
    plain = (sys.stdout.encoding or "").lower().replace("-", "") != "utf8"
    with _writing():
        sys.stdout.write(json.dumps(value, default=default, ensure_ascii=plain) + "\n")
        sys.stdout.flush()


def _controls(letter: str) -> bool:
    return unicodedata.category(letter) in _CONTROLS or letter in _DIRECTIONS


@contextmanager
def _writing() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise  # the reader has ended, as `head` does
    except OSError as error:
        raise AnimaticError(
            f"the results cannot be written to stdout: {error.strerror}; the work itself is done"
        ) from error
