"""Mutated tables: every row is accounted for, good rows stay as they are, and nothing but AnimaticError is
raised. The same cells mean the same in every format."""

import csv
import io
import json
import os
import random
import re
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.errors import AnimaticError, RejectedError
from pipelines.sources import TABLE_REASONS, SourceRow, SourceTable

Cells = dict[str, str]

COLUMNS = ("videoid", "name", "contentUrl", "page_dir", "timestamp", "note")
HOSTILE = (
    *("", " ", "\t", "nan", "NaN", "null", "None", "[]", "[null]", "{}", "0", "-1", "1e999", "007"),
    *("a cat", " a cat ", "a\ncat", "a\r\ncat", "a\rcat", 'a "cat"', '"', '""', "'", "\\", '\\"', "a\\"),
    *("a,b", "a;b", "a\tb", "a|b", "\0", "a\0b", "\x1a", "\x7f", "\ufeff", "\u2028", "\u202eabc", "e\u0301"),
    *("é", "🎬", "日本語", "a" * 300, "CON", "nul.mp4", ".", "..", "../x", "a/../../b", "/etc/passwd", "a/b"),
    *("C:\\x.mp4", "~", "$HOME", "%s%n", "{0}", "`id`", "<b>", "[red]", "=1+1", "--out", "#", "true"),
    *(
        "['a', 'b']",
        '["a", "b"]',
        "['a' 'b']",
        "['a'",
        "[1, 2]",
        "[[0, 1]]",
        "[[1, 0]]",
        "[['0:01', '0:02']]",
    ),
    *("[[[[[[", "[" * 500, "['\\ud800']", "[nan]", "[None, 'x']", "[[0, 1], [1, 2]]", "['a', ['b']]"),
    *(
        "http://",
        "HTTP://x.org/a.mp4",
        "http://[::1",
        "http://x.org:99999/a",
        "s3://",
        "s3://My Bucket/x.mp4",
    ),
    *("ftp://h/x", "zip://a::http://b", "://x", "x://", "file:///etc/passwd", "www.x.org/a.mp4", "h:80/x"),
    *("data:video/mp4;base64,AAAA", "memory://x", "//x/y", "a?b#c", "a%00b", "2024-01-01", "9" * 400),
)
NOISE = (
    b"\0",
    b"\n",
    b"\r",
    b'"',
    b",",
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b"\xff",
    b"\xc3",
    b"\xef\xbb\xbf",
    b"'",
)


def good(number: int) -> Cells:
    cells = (f"good{number}", f"caption {number}", f"videos/{number}.mp4", "", "", "x")
    return dict(zip(COLUMNS, cells, strict=True))


def hostile(draw: random.Random) -> Cells:
    """A row in which some cells are hostile; the others are those of a good row."""
    cells = good(draw.randrange(10**9))
    for column in draw.sample(COLUMNS, draw.randint(1, 3)):
        cells[column] = draw.choice(HOSTILE)
        if draw.random() < 0.2:
            cells[column] += draw.choice(HOSTILE)
    return cells


def write_csv(path: Path, rows: list[Cells]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


def write_jsonl(path: Path, rows: list[Cells]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_json(path: Path, rows: list[Cells]) -> None:
    path.write_text(json.dumps(rows, ensure_ascii=False, indent=1))


def write_parquet(path: Path, rows: list[Cells]) -> None:
    pq.write_table(pa.Table.from_pylist(rows), path)


WRITERS: dict[str, Callable[[Path, list[Cells]], None]] = {
    "t.csv": write_csv,
    "t.jsonl": write_jsonl,
    "t.json": write_json,
    "t.parquet": write_parquet,
}


def check(rows: list[SourceRow], count: int) -> None:
    """What holds for the rows of every table."""
    assert [row.row for row in rows] == list(range(len(rows)))
    assert len(rows) == count
    accepted = [row for row in rows if row.problem is None]
    assert {row.problem for row in rows} - {None} <= TABLE_REASONS
    assert len({row.key for row in accepted}) == len({row.identity for row in accepted}) == len(accepted)
    for row in rows:
        assert row.key
        json.dumps([row.record, row.detail], ensure_ascii=False).encode()
        assert "\n" not in row.detail
    for row in accepted:
        assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,63}", row.key)
        assert row.source_id
        numbers = range(max(1, len(row.spans)))
        assert any(row.captions_of_span(number) for number in numbers)
        assert all(span.start < span.end for span in row.spans)
        "".join(row.captions).encode()
        for videos in (None, "/v"):
            check_locations(row, videos)


def check_locations(row: SourceRow, videos: str | None) -> None:
    """A row names files inside the folder, or what it says itself."""
    try:
        locations = row.candidates(videos)
    except RejectedError as error:
        assert error.reason in ("unsafe_path", "missing_file", "unknown_protocol")
        return
    assert locations
    for location in locations:
        inside = videos is not None and f"{os.path.normpath(location)}/".startswith(f"{videos}/")
        assert inside or location == row.content_url


def fuzz_cells(folder: Path, count: int) -> None:
    draw = random.Random(11)
    rows = [good(-n) if n % 4 == 0 else hostile(draw) for n in range(count * 4 // 3)]
    found: dict[str, list[tuple[str | None, list[str], str]]] = {}
    for name, write in WRITERS.items():
        write(folder / name, rows)
        table = SourceTable(str(folder / name))
        read = list(table.rows())
        check(read, len(rows))
        assert table.count() == len(rows)
        for number in range(0, len(rows), 4):
            assert (read[number].problem, read[number].record) == (None, rows[number])
        found[name] = [(row.problem, row.captions, row.content_url) for row in read]
        for row, cells in zip(read, rows, strict=True):
            assert row.record == cells or row.problem == "malformed_row"
    assert found["t.csv"] == found["t.jsonl"] == found["t.json"] == found["t.parquet"]


def mutated(draw: random.Random, line: bytes) -> bytes:
    """The bytes with some of them deleted, replaced, repeated or inserted."""
    for _ in range(draw.randint(1, 4)):
        at, length = draw.randrange(len(line) + 1), draw.randint(1, 8)
        change = draw.randrange(4)
        middle = (b"", draw.randbytes(length), line[at : at + length] * 2, draw.choice(NOISE))[change]
        line = line[:at] + middle + line[at if change == 3 else at + length :]
    return line


def fuzz_bytes(folder: Path, name: str, count: int) -> None:
    """Tables of a mutated row between good ones; a whole Parquet file is mutated."""
    draw, refused, intact = random.Random(12), 0, 0
    rows = [good(0), good(1), good(2)]
    WRITERS[name](folder / name, rows)
    content = (folder / name).read_bytes()
    lines = content.splitlines(keepends=True)
    for number in range(count):
        (folder / name).write_bytes(
            mutated(draw, content)
            if name.endswith((".parquet", ".json"))
            else b"".join([*lines[:-2], mutated(draw, lines[-2].rstrip()) + b"\n", lines[-1]])
        )
        try:
            table = SourceTable(str(folder / name))
            read = list(table.rows())
            check(read, table.count())
        except AnimaticError as error:
            assert "\n" not in str(error), f"mutation {number}"
            refused += 1
            continue
        if name in ("t.csv", "t.jsonl"):
            assert read[0].record == rows[0], f"mutation {number}"
            intact += read[-1].record == rows[-1]
    if name == "t.jsonl":
        assert (refused, intact) == (0, count)
    if name == "t.csv":
        assert refused + intact >= 0.97 * count  # a quote may be closed by one that follows


def test_rows_with_hostile_cells_are_accounted_for_and_equal_in_every_format(tmp_path: Path) -> None:
    fuzz_cells(tmp_path, 2000)


@pytest.mark.parametrize("name", ["t.csv", "t.jsonl", "t.json", "t.parquet"])
def test_mutated_bytes_affect_their_rows_alone(tmp_path: Path, name: str) -> None:
    fuzz_bytes(tmp_path, name, 60)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["t.csv", "t.jsonl", "t.json", "t.parquet"])
def test_two_thousand_mutated_rows(tmp_path: Path, name: str) -> None:
    fuzz_bytes(tmp_path, name, 2000)


def test_any_text_in_a_csv_is_rows_or_one_line_of_error(tmp_path: Path) -> None:
    draw = random.Random(13)
    for _ in range(60):
        text = io.BytesIO(b"videoid,name,contentUrl\n")
        text.seek(0, io.SEEK_END)
        for _ in range(draw.randint(0, 40)):
            text.write(draw.choice(NOISE) if draw.random() < 0.5 else draw.choice(HOSTILE).encode())
        (tmp_path / "t.csv").write_bytes(text.getvalue())
        try:
            table = SourceTable(str(tmp_path / "t.csv"))
            check(list(table.rows()), table.count())
        except AnimaticError as error:
            assert "\n" not in str(error)
