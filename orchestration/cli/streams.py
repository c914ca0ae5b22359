"""Standard output and error, whatever they are: terminals, pipes, full disks, other encodings, or closed."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console

from core.errors import AnimaticError


class Results(Console):
    """A console on stdout whose errors name stdout."""

    def print(self, *objects: Any, **options: Any) -> None:
        """As of Console. Raises AnimaticError if stdout cannot be written to."""
        with _writing():
            super().print(*objects, **options)


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
