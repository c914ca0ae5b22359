"""Every append that returned is read back, in order, whatever became of the writer afterwards."""

import json
import logging
import os
from pathlib import Path

import pytest

from core.journal import JournalWriter, complete_last_line, read_lines, read_records, whole_lines


def write(path: Path, *numbers: int) -> None:
    with JournalWriter(path) as journal:
        for number in numbers:
            journal.append({"number": number})


def numbers(path: Path) -> list[int]:
    return [record["number"] for record in read_records(path)[0]]


def test_writers_one_after_another_append(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "journal.jsonl"
    write(path, 1, 2)
    write(path, 3)
    assert numbers(path) == [1, 2, 3]
    assert numbers(tmp_path / "none") == []


def test_a_writer_that_was_left_writes_nothing_more(tmp_path: Path) -> None:
    with JournalWriter(tmp_path / "journal.jsonl") as writer:
        writer.append({"step": 1})
    with pytest.raises(ValueError, match="closed"):
        writer.append({"step": 2})
    assert read_records(tmp_path / "journal.jsonl")[0] == [{"step": 1}]


def test_an_append_returns_when_the_line_is_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, on_disk = tmp_path / "journal.jsonl", []
    with JournalWriter(path) as journal:
        monkeypatch.setattr(os, "fsync", lambda _: on_disk.append(path.read_bytes()))
        journal.append({"number": 1})
        assert on_disk == [b'{"number": 1}\n']


def test_a_completed_line_is_on_disk_before_the_next_follows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, on_disk = tmp_path / "journal.jsonl", []
    path.write_bytes(b"whole")
    monkeypatch.setattr(os, "fsync", lambda _: on_disk.append(path.read_bytes()))
    complete_last_line(path)
    assert on_disk == [b"whole\n"]


# The search for the last newline goes backwards in blocks of 65,536 bytes.
@pytest.mark.parametrize("length", [3, 65_535, 65_536, 65_537, 200_000])
def test_a_torn_line_is_left_out_and_cut_off_by_the_next_writer(tmp_path: Path, length: int) -> None:
    path = tmp_path / "journal.jsonl"
    write(path, 1, 2)
    whole = path.read_bytes()
    path.write_bytes(whole + b"x" * length)
    lines, offset = read_lines(path)
    assert [json.loads(line)["number"] for line in lines] == [1, 2]
    assert offset == len(whole)
    write(path, 3)
    assert numbers(path) == [1, 2, 3]
    path.write_bytes(b"x" * length)
    write(path, 4)
    assert numbers(path) == [4]


def test_any_cut_of_a_journal_reads_as_the_lines_before_it(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    write(path, 1, 2, 3)
    data = path.read_bytes()
    for size in range(len(data) + 1):
        path.write_bytes(data[:size])
        assert numbers(path) == [1, 2, 3][: data[:size].count(b"\n")]


@pytest.mark.parametrize("limit", [1, 15, 30, 1000])
def test_a_bounded_reader_sees_every_line_once(tmp_path: Path, limit: int) -> None:
    path = tmp_path / "journal.jsonl"
    write(path, *range(10))
    found, offset = [], 0
    while True:
        records, end = read_records(path, offset, limit)
        if end == offset:
            break
        assert end - offset <= limit + 2 * len('{"number": 0}\n')
        found += [record["number"] for record in records]
        offset = end
    assert found == list(range(10))
    write(path, 10)
    assert read_records(path, offset) == ([{"number": 10}], path.stat().st_size)


def test_a_damaged_line_does_not_hide_the_rest(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "journal.jsonl"
    write(path, 1)
    with JournalWriter(path) as journal:
        for line in (b"\0\0\xff", b"", b"[2]"):
            journal.append_line(line)
    write(path, 3)
    with caplog.at_level(logging.WARNING):
        assert numbers(path) == [1, 3]
    assert caplog.text.count("not a JSON object") == 3


def test_numbers_that_json_cannot_hold_become_null(tmp_path: Path) -> None:
    with JournalWriter(tmp_path / "journal.jsonl") as journal:
        journal.append({"metrics": {"loss": float("nan"), "norms": [1.5, float("-inf")]}})
    assert read_records(tmp_path / "journal.jsonl")[0] == [{"metrics": {"loss": None, "norms": [1.5, None]}}]


def test_a_line_holds_no_newline(tmp_path: Path) -> None:
    with JournalWriter(tmp_path / "journal.jsonl") as journal, pytest.raises(ValueError, match="newline"):
        journal.append_line(b"a\nb")
    assert read_lines(tmp_path / "journal.jsonl") == ([], 0)


def test_lines_of_bytes() -> None:
    assert whole_lines(b"") == []
    assert whole_lines(b"a\n\nb\ntorn") == [b"a", b"", b"b"]
