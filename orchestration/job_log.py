"""The log of a job, in which its results are marked: they are what the user who follows it gets on stdout.

The command in the job writes both forms of a result, text and JSON; the reader of the log chooses one.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Callable, Iterator
from typing import Literal

# The id of the job that this process belongs to.
VARIABLE = "ANIMATIC_JOB"
# Exit code of a job whose Python lacks packages: what submitted it can start it again with an environment.
LACKS_PACKAGES = 96
Form = Literal["text", "json"]
_FORMS: tuple[Form, ...] = ("text", "json")


def current_job() -> str | None:
    """The id of the job that this process runs in; None outside of jobs."""
    return os.environ.get(VARIABLE) or None


@contextlib.contextmanager
def marked(job: str, form: Form) -> Iterator[None]:
    """Inside, what is written to stdout is one form of the job's result."""
    written = io.StringIO()
    with contextlib.redirect_stdout(written):
        yield
    mark = _mark(job, form)
    lines = written.getvalue().removesuffix("\n").split("\n")
    # A library may have left a line unfinished.
    sys.stdout.write("\n" + "".join(f"{mark}{line}\n" for line in lines))
    sys.stdout.flush()


class LogReader:
    """Separates the log of a job, which arrives in pieces, into lines and results."""

    def __init__(self, job: str, on_line: Callable[[str], None]) -> None:
        """``on_line`` gets each line that is no result, without its end."""
        self._marks = {form: _mark(job, form) for form in _FORMS}
        self._on_line = on_line
        self._rest = ""
        self._results: dict[Form, list[str]] = {form: [] for form in _FORMS}
        self.characters = 0

    def feed(self, text: str) -> None:
        """The next piece of the log."""
        self.characters += len(text)
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._take(line)

    def end(self) -> None:
        """The log is complete; its last line may have no end."""
        if self._rest:
            self._take(self._rest)
        self._rest = ""

    def result(self, form: Form) -> str | None:
        """The result in this form, each line with its end; None if there is none."""
        lines = self._results[form]
        return "".join(f"{line}\n" for line in lines) if lines else None

    def _take(self, line: str) -> None:
        for form, mark in self._marks.items():
            if line.startswith(mark):
                self._results[form].append(line.removeprefix(mark))
                return
        if line.strip():
            self._on_line(line)


def _mark(job: str, form: Form) -> str:
    return f"[{job} {form}] "
