"""Sources of every format, one file or many, mapped, filtered, damaged, and larger than memory."""

import csv
import functools
import gzip
import json
import threading
import tracemalloc
from collections.abc import Iterable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.errors import AnimaticError
from pipelines.sources import ColumnNames, SourceTable
from tests.support.footage import row


def table(path: Path, text: str | bytes) -> SourceTable:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return SourceTable(str(path))


ROWS = [
    row("007", dynamic_confidence="0.9"),
    row("8", dynamic_confidence=""),
    row("9", dynamic_confidence="0.2"),
]


def records(source: SourceTable) -> list[dict[str, str]]:
    return [r.record for r in source.rows()]


def test_a_quote_that_is_never_closed_is_an_error(tmp_path: Path) -> None:
    head = "videoid,page_dir,name\n1,p,a cat\n"
    with pytest.raises(AnimaticError, match=r"t.csv: a quote that is opened in the row of line 3 is never"):
        table(tmp_path / "t.csv", f'{head}2,p,"a dog\n3,p,a bird\n4,p,a fish\n').count()
    closed = table(tmp_path / "t.csv", f'{head}2,p,"a dog\nand ""more"""')
    assert [r.caption for r in closed.rows()] == ["a cat", 'a dog\nand "more"']


@pytest.mark.parametrize("cell", ["[" + "9" * 5000 + "]", "[" * 5000 + "]" * 5000])
def test_an_unusual_json_cell_affects_its_row_alone(tmp_path: Path, cell: str) -> None:
    line = '{"videoid": "1", "page_dir": "p", "name": "a cat", "more": %s}\n'
    source = table(tmp_path / "t.jsonl", line % "[1, 2.50]" + line % cell + line % "null")
    assert [r.problem for r in source.rows()][1:] == ["malformed_row", "duplicate_id"]
    assert records(source)[0]["more"] == "[1, 2.5]"


@pytest.mark.parametrize("name", ["t.parquet", "t.jsonl", "t.csv.gz", "t.jsonl.xz", "t.tsv"])
def test_every_format_gives_the_same_rows(tmp_path: Path, name: str) -> None:
    expected = records(SourceTable(str(write_as(tmp_path / "t.csv", ROWS))))
    source = SourceTable(str(write_as(tmp_path / name, expected)))
    assert records(source) == expected
    assert source.count() == 3
    assert len(source.digest) == 64


def write_as(path: Path, rows: Iterable[dict[str, str]]) -> Path:
    """The rows in the format and compression of the file name."""
    rows = list(rows)
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
        return path
    with fsspec.open(str(path), "wt", compression="infer", newline="") as file:
        if ".jsonl" in path.name:
            file.writelines(json.dumps(record) + "\n" for record in rows)
        else:
            delimiter = "\t" if path.suffix == ".tsv" else ","
            writer = csv.DictWriter(file, rows[0], delimiter=delimiter)
            writer.writeheader()
            writer.writerows(rows)
    return path


def test_numbers_lists_and_nulls_become_text_as_they_are_written(tmp_path: Path) -> None:
    line = '{"videoid": 12, "name": "a", "page_dir": null, "score": 1.50, "tags": ["x", 2], "ok": true}\n'
    [record] = records(table(tmp_path / "t.jsonl", line))
    assert record == {
        "videoid": "12",
        "name": "a",
        "page_dir": "",
        "score": "1.50",
        "tags": '["x", 2]',
        "ok": "true",
    }
    typed = pa.table({"videoid": [7], "name": ["a"], "page_dir": pa.nulls(1, pa.string()), "tags": [["x"]]})
    pq.write_table(typed, tmp_path / "t.parquet")
    assert records(SourceTable(str(tmp_path / "t.parquet"))) == [
        {"videoid": "7", "name": "a", "page_dir": "", "tags": '["x"]'}
    ]


def test_invalid_lines_affect_themselves_alone(tmp_path: Path) -> None:
    good = '{"videoid": "%d", "name": "a", "page_dir": "p"}\n'
    lines = (
        (good % 1).encode()
        + b"not json\n\n[1]\n"
        + b'{"videoid": "2\xff"}\n'
        + b'{"videoid": "3\\u0000", "name": "a"}\n'
    )
    source = table(tmp_path / "t.jsonl", lines + (good % 4).encode())
    assert [r.problem for r in source.rows()] == [None, *["malformed_row"] * 4, None]
    csv_rows = table(tmp_path / "t.csv", b"videoid,page_dir,name\n1,p,a\x00b\n2,p,fine\n")
    assert [r.problem for r in csv_rows.rows()] == ["malformed_row", None]


def test_a_folder_or_glob_is_one_table_in_the_order_of_names(tmp_path: Path) -> None:
    (tmp_path / "part").mkdir()
    write_as(tmp_path / "part" / "b.csv", [row("3"), row("1")])
    write_as(tmp_path / "a.parquet", [row("1"), row("2")])
    write_as(tmp_path / "_hidden.csv", [row("0")])
    (tmp_path / "notes.txt").write_text("no table")
    whole = SourceTable(str(tmp_path))
    assert [(r.row, r.source_id, r.problem) for r in whole.rows()] == [
        (0, "1", None),
        (1, "2", None),
        (2, "3", None),
        (3, "1", "duplicate_id"),
    ]
    assert SourceTable(str(tmp_path / "p*" / "*.csv")).count() == 2
    write_as(tmp_path / "part" / "c.csv", [{"id": "1"}])
    with pytest.raises(AnimaticError, match=r"c\.csv has no column videoid"):
        SourceTable(str(tmp_path)).count()


def test_columns_can_have_other_names(tmp_path: Path) -> None:
    path = write_as(
        tmp_path / "t.csv", [{"id": "1", "caption": "a cat", "path": "x/1.mp4", "name": "unused"}]
    )
    names = ColumnNames(videoid="id", name="caption", contentUrl="path")
    [only] = SourceTable(str(path), names).rows()
    assert (only.source_id, only.caption, only.candidates("/v")) == ("1", "a cat", ["/v/x/1.mp4"])
    assert only.record["name"] == "unused"


@pytest.mark.parametrize(
    ("where", "taken"),
    [
        ("dynamic_confidence > 0.5", ["007"]),
        ("dynamic_confidence <= .5", ["9"]),
        ("not dynamic_confidence > 0.5", ["8", "9"]),
        ("videoid == 7", ["007"]),
        ("videoid == '7'", []),
        ("'of 8' in name or videoid in [9, 10]", ["8", "9"]),
        ("0 < dynamic_confidence < 0.5 and page_dir != 'q'", ["9"]),
        ("column('dynamic_confidence') == ''", ["8"]),
        ("dynamic_confidence > -1", ["007", "9"]),
    ],
)
def test_a_filter_takes_rows_and_the_others_are_counted(tmp_path: Path, where: str, taken: list[str]) -> None:
    rows = list(SourceTable(str(write_as(tmp_path / "t.csv", ROWS)), where=where).rows())
    assert [r.source_id for r in rows if r.problem is None] == taken
    assert {r.problem for r in rows if r.source_id not in taken} <= {"filtered"}
    assert len(rows) == 3


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("dynamic_confidance > 0.5", "did you mean 'dynamic_confidence'"),
        ("__import__('os').system('true') == 0", "cannot use"),
        ("name", "cannot use 'name'"),
        ("videoid > ", "cannot be read"),
        ("(lambda: 1)() == 1", "cannot use"),
        ("name == 'a' * 9", "cannot use"),
        ("(" * 5000 + ")" * 5000, "cannot be read"),
    ],
)
def test_an_invalid_filter_is_refused(tmp_path: Path, where: str, message: str) -> None:
    path = str(write_as(tmp_path / "t.csv", ROWS))
    with pytest.raises(AnimaticError, match=message):
        SourceTable(path, where=where)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("t.csv.gz", b"no gzip at all"),
        ("t.csv.gz", gzip.compress(b"videoid,name,page_dir\n" + b"1,a,b\n" * 9000)[:-20]),
        ("t.csv.xz", b"\xfd7zXZ\x00broken"),
        ("t.parquet", b"PAR1 no more"),
        ("t.csv", b'videoid,name,page_dir\n1,"' + b"never closed " * 200_000),
    ],
)
def test_a_damaged_file_is_an_error_that_names_it(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(AnimaticError, match=r"cannot be read|line \d+"):
        SourceTable(str(tmp_path / name)).count()


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AnimaticError, match="has no table"):
        SourceTable(str(tmp_path))


def test_repeated_ids_are_found_at_any_distance(tmp_path: Path) -> None:
    rows = [row(str(number % 4999)) for number in range(6000)]
    found = [r.row for r in SourceTable(str(write_as(tmp_path / "t.csv", rows))).rows() if r.problem]
    assert found == list(range(4999, 6000))


def test_memory_does_not_grow_with_the_table(tmp_path: Path) -> None:
    peaks = [
        peak_of_planning(write_as(tmp_path / f"{n}.csv", map(long_row, range(n)))) for n in (2_000, 12_000)
    ]
    assert peaks[1] - peaks[0] < 4 << 20, f"{peaks} bytes for tables of 2 and 12 MB"


def long_row(number: int) -> dict[str, str]:
    return row(str(number), note="x" * 1000)


def peak_of_planning(path: Path) -> int:
    tracemalloc.start()
    try:
        for _ in SourceTable(str(path)).rows():
            pass
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_fingerprint_changes_only_with_the_file(tmp_path: Path) -> None:
    path = write_as(tmp_path / "t.csv", [row("1")])
    first = SourceTable(str(path)).fingerprint
    assert first is not None
    assert first == SourceTable(str(path)).fingerprint
    write_as(path, [row("2")])
    assert first != SourceTable(str(path)).fingerprint


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    """Address of a web server for the files of ``tmp_path``."""
    handler = functools.partial(QuietHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.parametrize("name", ["t.csv.gz", "t.jsonl", "t.csv"])
def test_a_table_on_the_web_is_read(tmp_path: Path, served: str, name: str) -> None:
    write_as(tmp_path / name, ROWS)
    assert records(SourceTable(f"{served}/{name}?signature=a*b")) == ROWS
    with pytest.raises(AnimaticError, match="cannot be read"):
        SourceTable(f"{served}/other-{name}")
