"""Raters' files: what spreadsheets do to them is read or refused, and every other change is refused."""

import re
from pathlib import Path

import pytest

from core.errors import AnimaticError
from pipelines.evaluate.report import read_report
from pipelines.evaluate.study.answers import read_all_answers, read_answers
from pipelines.evaluate.study.design import StudySettings
from pipelines.evaluate.study.make import design_study
from pipelines.evaluate.study.records import StudyKey
from tests.support.studies import answers_of, prefer_first, write_answers, write_reports

SETTINGS = StudySettings(pairs=4, raters=3, attention=2)


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> StudyKey:
    return design_study(
        [read_report(path) for path in write_reports(tmp_path_factory.mktemp("reports"))], SETTINGS
    )


@pytest.fixture
def path(key: StudyKey, tmp_path: Path) -> Path:
    """A rater's file as the page writes it."""
    return write_answers(tmp_path, key, answers_of(key, next(iter(key["raters"])), prefer_first))


def edit(path: Path, old: str, new: str) -> Path:
    """Replace the first match in a file."""
    text, count = re.subn(old, new, path.read_bytes().decode(), count=1, flags=re.M)
    assert count == 1
    path.write_bytes(text.encode())
    return path


def refused(path: Path, key: StudyKey, *problems: str) -> None:
    with pytest.raises(AnimaticError) as caught:
        read_answers(path, key)
    message = str(caught.value)
    assert message.startswith(str(path)) and "\n" not in message
    assert all(problem in message for problem in problems), message


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace(",", ";").encode(),
        lambda text: text.replace(",", "\t").encode("utf-16"),
        lambda text: b"\xef\xbb\xbf" + text.replace("\r\n", "\n").encode(),
        lambda text: (text + ",,,,,,,,\r\n\r\n").encode(),
        lambda text: "".join(
            ",".join(f'"{cell}"' for cell in line.split(",")) + ",\n" for line in text.splitlines()
        ).encode(),
        lambda text: "\n".join([text.splitlines()[0], *sorted(text.splitlines()[1:])]).encode(),
    ],
    ids=["semicolons", "UTF-16 and tabs", "byte order mark", "empty rows", "quotes", "sorted"],
)
def test_what_a_spreadsheet_stored_without_loss_is_read_alike(key: StudyKey, path: Path, change) -> None:
    before = read_answers(path, key)
    path.write_bytes(change(path.read_bytes().decode()))
    assert read_answers(path, key) == before


def test_values_that_a_spreadsheet_changed_are_refused(key: StudyKey, path: Path) -> None:
    refused(edit(path, ",9000\r$", ',"9,00E+03"\r'), key, "line 2: milliseconds", "a spreadsheet changed it")
    path.write_bytes(b"PK\x03\x04 workbook")
    refused(path, key, "workbook and not CSV")
    path.write_bytes(b"study,rater\xff\xfe")
    refused(path, key, "not UTF-8 text (byte 11)")


def test_an_edited_line_is_refused_with_its_number(key: StudyKey, path: Path) -> None:
    original = path.read_bytes()
    task = key["raters"][next(iter(key["raters"]))][1]
    for old, new, problem in (
        (f"^(.*),{task['pair']}", r"\1,p0123456789abcdef", "line 5: 'p0123456789abcdef' is no pair of rater"),
        (f"{task['a']},{task['b']}", f"{task['b']},{task['a']}", f"line 5: a is '{task['b']}', but"),
        (",2,p", ",3,p", "line 5: number is '3', but '2'"),
        (",(A|B|equal),", ",Both,", "line 2: answer 'Both' is none of A, B, equal"),
        (",coherence,", ",beauty,", "line 2: question 'beauty' is none of coherence, motion, conformity"),
        (",motion,", ",coherence,", "line 3: line 2 answers coherence of pair"),
        (key["study"], "s0123456789abcdef", "line 2: it is of study 's0123456789abcdef'"),
        (",r01-", ",r99-", "is no rater of study"),
        ("^.*$", "name,value", "line 1: 'name,value' is not the header study,rater,"),
        ("^(s.*),9000\r$", r"\1\r", "line 2: 8 values instead of 9"),
        ('^(s.*),9000\r$', r'\1,"9000\r', "it is not CSV (unexpected end of data)"),
    ):  # fmt: skip
        path.write_bytes(original)
        refused(edit(path, old, new), key, problem)


def test_a_truncated_file_is_refused_wherever_it_ends(key: StudyKey, path: Path) -> None:
    content = path.read_bytes()
    lines = content.splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-4]))
    refused(path, key, "has 14 of 18 answers: the first that is missing is conformity of pair 5", "truncated")
    path.write_bytes(lines[0])
    refused(path, key, "has no answers")
    path.write_bytes(b"")
    refused(path, key, "line 1: '' is not the header")
    for end in range(len(content) - 3, len(content) - len(lines[-1]) - 5, -7):
        path.write_bytes(content[:end])
        if content[:end].rsplit(b",", 1)[1] not in (b"9", b"90", b"900", b"9000"):
            with pytest.raises(AnimaticError, match=re.escape(str(path))):
                read_answers(path, key)


def test_two_files_of_one_rater_are_refused_and_a_folder_stands_for_its_files(
    key: StudyKey, path: Path, tmp_path: Path
) -> None:
    second = list(key["raters"])[1]
    write_answers(tmp_path, key, answers_of(key, second, prefer_first))
    assert [each.rater for each in read_all_answers([tmp_path], key)] == list(key["raters"])[:2]
    copy = tmp_path / "copy.csv"
    copy.write_bytes(path.read_bytes())
    with pytest.raises(AnimaticError, match=r"copy\.csv and .* are both of rater"):
        read_all_answers([path, copy], key)
    (tmp_path / "empty").mkdir()
    with pytest.raises(AnimaticError, match=r"has no file that ends in \.csv"):
        read_all_answers([tmp_path / "empty"], key)


def test_a_file_of_two_raters_is_refused(key: StudyKey, path: Path, tmp_path: Path) -> None:
    other = write_answers(tmp_path, key, answers_of(key, list(key["raters"])[1], prefer_first))
    path.write_bytes(path.read_bytes() + b"".join(other.read_bytes().splitlines(keepends=True)[1:]))
    refused(path, key, "line 20: it is of rater", "one file a rater")
