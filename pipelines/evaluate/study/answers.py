"""The CSV files that raters send back, checked line by line against the key of their study.

Spreadsheets that open such a file and store it again may separate values by semicolons or tabs, begin it with
a byte order mark, end lines in another way, write UTF-16, sort the rows and add empty ones: all of that is
read. What they change in a value is refused.
"""

import codecs
import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import cast

from core.errors import AnimaticError
from pipelines.evaluate.study.records import ANSWERS, QUESTIONS, Answer, Question, StudyKey, Task

COLUMNS = ("study", "rater", "number", "pair", "a", "b", "question", "answer", "milliseconds")
_SEPARATORS = ",;\t"
_DOWNLOAD_AGAIN = "ask the rater to download the file from the page again"


@dataclass(frozen=True)
class RaterAnswers:
    """All answers of one rater: by pair, then by question; ``milliseconds`` by pair, where they are known."""

    rater: str
    path: Path
    answers: Mapping[str, Mapping[Question, Answer]]
    milliseconds: Mapping[str, int]

    @property
    def median_seconds(self) -> float | None:
        """The median time for a pair."""
        return round(median(self.milliseconds.values()) / 1000, 3) if self.milliseconds else None


def read_all_answers(paths: Sequence[Path], key: StudyKey) -> list[RaterAnswers]:
    """The answers in these files, in the order of raters' codes; a folder means the CSV files in it.

    Raises AnimaticError as :func:`read_answers`, if there is no file, and for two files of one rater.
    """
    read: dict[str, RaterAnswers] = {}
    for path in _files(paths):
        answers = read_answers(path, key)
        if answers.rater in read:
            raise AnimaticError(
                f"{path} and {read[answers.rater].path} are both of rater {answers.rater}: pass one of them; "
                "if two people used one code, neither can be counted"
            )
        read[answers.rater] = answers
    return [read[rater] for rater in sorted(read)]


def read_answers(path: Path, key: StudyKey) -> RaterAnswers:
    """The complete answers of one rater.

    Raises AnimaticError, with file and line, for a file that is not of this study, is truncated or edited, or
    was changed by a spreadsheet in a way that loses its values.
    """
    reading = _Reading(path, key)
    for line, cells in _rows(path):
        reading.add(line, cells)
    return reading.result()


class _Reading:
    """Collects the rows of a file and checks each."""

    def __init__(self, path: Path, key: StudyKey) -> None:
        self._path, self._key = path, key
        self._rater: str | None = None
        self._tasks: dict[str, tuple[int, Task]] = {}
        self._answers: dict[str, dict[Question, Answer]] = {}
        self._lines: dict[tuple[str, str], int] = {}
        self._milliseconds: dict[str, int] = {}

    def add(self, line: int, cells: Mapping[str, str]) -> None:
        """Check a row and keep its answer."""
        self._check_study(line, cells)
        number, task = self._task(line, cells["pair"])
        for name, expected in (("a", task["a"]), ("b", task["b"]), ("number", str(number))):
            if cells[name] != expected:
                raise self._error(
                    line, f"{name} is {cells[name]!r}, but {expected!r} in the study: it was edited"
                )
        question = self._one_of(line, "question", cells["question"], QUESTIONS)
        answer = self._one_of(line, "answer", cells["answer"], ANSWERS)
        before = self._lines.setdefault((task["pair"], question), line)
        if before != line:
            raise self._error(line, f"line {before} answers {question} of pair {task['pair']} already")
        self._answers.setdefault(task["pair"], {})[cast(Question, question)] = cast(Answer, answer)
        if cells["milliseconds"]:
            self._milliseconds[task["pair"]] = self._count(line, cells["milliseconds"])

    def result(self) -> RaterAnswers:
        """All answers. Raises AnimaticError if some are missing."""
        if self._rater is None:
            raise AnimaticError(f"{self._path} has no answers: {_DOWNLOAD_AGAIN}")
        expected, found = len(self._tasks) * len(QUESTIONS), len(self._lines)
        for pair, (number, _) in self._tasks.items():
            for question in QUESTIONS:
                if (pair, question) not in self._lines:
                    raise AnimaticError(
                        f"{self._path} has {found} of {expected} answers: the first that is missing is "
                        f"{question} of pair {number} ({pair}); the file is truncated, {_DOWNLOAD_AGAIN}"
                    )
        return RaterAnswers(self._rater, self._path, self._answers, self._milliseconds)

    def _check_study(self, line: int, cells: Mapping[str, str]) -> None:
        study, rater = cells["study"], cells["rater"]
        if study != self._key["study"]:
            raise self._error(
                line, f"it is of study {study!r}, not {self._key['study']}: score each by itself"
            )
        if rater not in self._key["raters"]:
            raise self._error(line, f"{rater!r} is no rater of study {study}")
        if self._rater is None:
            tasks = self._key["raters"][rater]
            self._rater = rater
            self._tasks = {task["pair"]: (number, task) for number, task in enumerate(tasks, 1)}
        elif rater != self._rater:
            raise self._error(
                line, f"it is of rater {rater}, lines before are of {self._rater}: one file a rater"
            )

    def _task(self, line: int, pair: str) -> tuple[int, Task]:
        if pair not in self._tasks:
            raise self._error(
                line, f"{pair!r} is no pair of rater {self._rater}: it was edited or is truncated"
            )
        return self._tasks[pair]

    def _one_of(self, line: int, column: str, value: str, known: Sequence[str]) -> str:
        if value not in known:
            raise self._error(line, f"{column} {value!r} is none of {', '.join(known)}")
        return value

    def _count(self, line: int, text: str) -> int:
        if not re.fullmatch("[0-9]{1,10}", text):
            raise self._error(
                line,
                f"milliseconds is {text!r}, not a whole number: a spreadsheet changed it; {_DOWNLOAD_AGAIN}",
            )
        return int(text)

    def _error(self, line: int, problem: str) -> AnimaticError:
        return AnimaticError(f"{self._path}, line {line}: {problem}")


def _files(paths: Sequence[Path]) -> list[Path]:
    files: list[Path] = []
    for path in paths:
        found = sorted(path.glob("*.csv")) if path.is_dir() else [path]
        if not found:
            raise AnimaticError(f"folder {path} has no file that ends in .csv")
        files += found
    if not files:
        raise AnimaticError("name the CSV files that raters sent back, or a folder with them")
    return files


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """The rows that are not empty, by column, each with the number of its line."""
    text = _text(path)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_separator(path, text), strict=True)
    try:
        columns = [cell.strip() for cell in next(reader)]
        for row in reader:
            cells = [cell.strip() for cell in row]
            if not any(cells):
                continue
            if len(cells) < len(columns) or any(cells[len(columns) :]):
                raise AnimaticError(
                    f"{path}, line {reader.line_num}: {len(cells)} values instead of {len(columns)}; "
                    f"the file is truncated or edited: {_DOWNLOAD_AGAIN}"
                )
            yield reader.line_num, dict(zip(columns, cells, strict=False))
    except csv.Error as error:
        raise AnimaticError(
            f"{path}, line {reader.line_num}: it is not CSV ({error}): {_DOWNLOAD_AGAIN}"
        ) from error


def _separator(path: Path, text: str) -> str:
    """What separates the values of the header. Raises AnimaticError unless it has all columns."""
    header = text.splitlines()[0] if text.strip() else ""
    for separator in _SEPARATORS:
        columns = [cell.strip().strip('"') for cell in header.split(separator)]
        if set(COLUMNS) <= set(columns) and len(set(columns)) == len(columns):
            return separator
    raise AnimaticError(
        f"{path}, line 1: {header[:100]!r} is not the header {','.join(COLUMNS)}: it is not a file that the "
        f"study's page wrote, or was edited; {_DOWNLOAD_AGAIN}"
    )


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise AnimaticError(f"{path} cannot be read: {error.strerror}") from error
    if content.startswith(b"PK\x03\x04"):
        raise AnimaticError(f"{path} is a workbook and not CSV: {_DOWNLOAD_AGAIN}, and not to open it")
    utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return content.decode("utf-16" if utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise AnimaticError(
            f"{path} is not UTF-8 text (byte {error.start}): it is damaged; {_DOWNLOAD_AGAIN}"
        ) from error
