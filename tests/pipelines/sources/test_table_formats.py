"""How tables are written: delimiters, encodings, quotes, JSON of several shapes, and what is no table."""

import gzip
import json
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec import AbstractFileSystem

from core.config.validation import configure
from core.errors import AnimaticError
from pipelines.ingest import IngestConfig
from pipelines.sources import ColumnNames, CsvSettings, SourceTable

ROW = {"videoid": "base", "name": "a, b", "contentUrl": "base.mp4"}


def source(path: Path, content: str | bytes, **settings: Any) -> SourceTable:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return SourceTable(str(path), **settings)


def records(table: SourceTable) -> list[dict[str, str]]:
    return [row.record for row in table.rows()]


@pytest.mark.parametrize(
    ("text", "notice"),
    [
        ("videoid;name;contentUrl\nbase;a, b;base.mp4\n", "t.csv is read with csv.delimiter=';'"),
        ("videoid\tname\tcontentUrl\nbase\ta, b\tbase.mp4\n", "t.csv is read with csv.delimiter='\\t'"),
        ("videoid|name|contentUrl\r\nbase|a, b|base.mp4\r\n", "t.csv is read with csv.delimiter='|'"),
        ('videoid, name, contentUrl\nbase, "a, b", base.mp4\n', None),
        (' videoid ,name , contentUrl\nbase,"a, b",base.mp4\n', None),
        ('\n\nvideoid,name,contentUrl\rbase,"a, b",base.mp4\r', None),
    ],
)
def test_delimiters_are_found_and_stated_and_blanks_around_headers_are_stripped(
    tmp_path: Path, text: str, notice: str | None
) -> None:
    table = source(tmp_path / "t.csv", text)
    assert records(table) == [ROW]
    assert table.notices == ([] if notice is None else [notice])


def test_a_header_that_fits_is_never_split_otherwise(tmp_path: Path) -> None:
    text = "videoid,name,contentUrl;x\nbase,a;b,c;d\n"
    names = ColumnNames(contentUrl="contentUrl;x")
    assert records(source(tmp_path / "t.csv", text, columns=names)) == [
        {"videoid": "base", "name": "a;b", "contentUrl;x": "c;d"}
    ]


def test_delimiter_escape_and_encoding_can_be_set(tmp_path: Path) -> None:
    text = "videoid^name^contentUrl\nbase^caf\xe9^base.mp4\n".encode("cp1252")
    csv = CsvSettings(delimiter="^", encoding="cp1252")
    assert records(source(tmp_path / "t.csv", text, csv=csv)) == [{**ROW, "name": "café"}]
    given = ["csv.delimiter=^", "csv.encoding=latin-1", "csv.escape=/"]
    config = configure(IngestConfig, values={"source": "s", "output": "o"}, sets=given)
    assert config.csv == CsvSettings(delimiter="^", encoding="latin-1", escape="/")
    for bad in ("csv.encoding=klingon", "csv.encoding=base64", "csv.delimiter=ab"):
        with pytest.raises(AnimaticError, match=r"csv\."):
            configure(IngestConfig, values={"source": "s", "output": "o"}, sets=[bad])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_encodings_of_unicode_are_found(tmp_path: Path, encoding: str) -> None:
    text = "videoid,name,contentUrl\r\nbase,a café 🎬 עברית,base.mp4\r\n"
    [record] = records(source(tmp_path / "t.csv", text.encode(encoding)))
    assert record == {**ROW, "name": "a café 🎬 עברית"}


def test_rows_of_another_encoding_name_the_setting(tmp_path: Path) -> None:
    text = "videoid,name,contentUrl\n1,caf\xe9,a.mp4\n2,cat,a.mp4\n".encode("cp1252")
    first, second = source(tmp_path / "t.csv", text).rows()
    assert (first.problem, second.problem) == ("malformed_row", None)
    assert "csv.encoding=cp1252" in first.detail


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (r'"He said \"go\", loudly"', 'He said "go", loudly'),
        ('"He said ""go"", loudly"', 'He said "go", loudly'),
        ('"a path C:\\"', "a path C:\\"),
        ('a 5\\" nail', '5" nail'),
    ],
)
def test_escaped_and_doubled_quotes_are_told_apart(tmp_path: Path, name: str, expected: str) -> None:
    [record] = records(source(tmp_path / "t.csv", f"videoid,name,contentUrl\nbase,{name},base.mp4\n"))
    assert record["name"].endswith(expected)
    assert record["contentUrl"] == "base.mp4"


def test_a_quote_as_the_escape_leaves_backslashes_as_they_are(tmp_path: Path) -> None:
    text = 'videoid,name,contentUrl\nbase,a 5\\" nail,base.mp4\n'
    assert records(source(tmp_path / "t.csv", text))[0]["name"] == 'a 5" nail'
    assert records(source(tmp_path / "t.csv", text, csv=CsvSettings(escape='"')))[0]["name"] == 'a 5\\" nail'


def test_a_field_over_a_mebibyte_is_one_malformed_row(tmp_path: Path) -> None:
    rows = ["videoid,name,contentUrl", "base,good,base.mp4", f"big,{'w ' * 600_000},base.mp4", "c,good,c.mp4"]
    found = list(source(tmp_path / "t.csv", "\n".join(rows)).rows())
    assert [row.problem for row in found] == [None, "malformed_row", None]
    assert found[1].detail == "a field of 1200000 characters, more than 1048576"
    assert len(found[1].record["name"]) < 2000


def test_a_row_with_too_few_or_many_fields_says_how_many(tmp_path: Path) -> None:
    rows = list(source(tmp_path / "t.csv", "videoid,name,contentUrl\n1,a\n2,a,b,c\n").rows())
    assert [row.detail for row in rows] == ["2 fields, but 3 columns", "4 fields, but 3 columns"]


OBJECTS = [{"videoid": "a", "name": "x", "n": 1.50}, {"videoid": "b", "name": ["y", "z"], "n": None}]


@pytest.mark.parametrize(
    "value",
    [
        OBJECTS,
        {"info": {}, "videos": [{"videoid": "a"}, {"videoid": "b"}], "sentences": OBJECTS},
        {"a": {"name": "x", "n": 1.50}, "b": {"name": ["y", "z"], "n": None}},
        {name: {str(n): row[name] for n, row in enumerate(OBJECTS)} for name in OBJECTS[0]},
    ],
    ids=["array", "array in an object", "objects by id", "columns"],
)
@pytest.mark.parametrize("indent", [None, 2])
def test_json_of_every_shape_gives_its_objects(tmp_path: Path, value: Any, indent: int | None) -> None:
    table = source(tmp_path / "t.json", json.dumps(value, indent=indent), has_videos=True)
    assert records(table) == [
        {"videoid": "a", "name": "x", "n": "1.5"},
        {"videoid": "b", "name": '["y", "z"]', "n": ""},
    ]
    assert table.count() == 2


def test_json_lines_are_read_whatever_the_suffix(tmp_path: Path) -> None:
    lines = "".join(json.dumps(row) + "\n" for row in OBJECTS)
    expected = records(source(tmp_path / "t.jsonl", lines, has_videos=True))
    assert records(source(tmp_path / "t.json", lines, has_videos=True)) == expected
    assert records(source(tmp_path / "a.jsonl", json.dumps(OBJECTS), has_videos=True)) == expected
    assert records(source(tmp_path / "t.json.gz", gzip.compress(lines.encode()), has_videos=True)) == expected


def test_items_of_json_that_are_no_objects_are_malformed_rows(tmp_path: Path) -> None:
    good = '{"videoid": "a", "name": "x", "page_dir": ""}'
    text = f'[{good}, 3, null, "text", {{"videoid": "b\\u0000", "name": ""}}]'
    found = [row.problem for row in source(tmp_path / "t.json", text).rows()]
    assert found == [None, *["malformed_row"] * 4]


def test_json_with_two_tables_has_to_be_split(tmp_path: Path) -> None:
    with pytest.raises(AnimaticError, match=r"several arrays .* \(train, test\)"):
        source(tmp_path / "t.json", json.dumps({"train": OBJECTS, "test": OBJECTS}), has_videos=True)


def test_an_id_alone_names_a_file_in_the_folder_of_videos(tmp_path: Path) -> None:
    [row] = source(tmp_path / "t.csv", "videoid,name\nv1,a cat\n", has_videos=True).rows()
    assert row.candidates("/v") == ["/v/v1.mp4"]
    with pytest.raises(AnimaticError, match="no column page_dir or contentUrl"):
        source(tmp_path / "t.csv", "videoid,name\nv1,a cat\n")


def test_json_files_beside_tables_are_no_tables(tmp_path: Path) -> None:
    source(tmp_path / "t.csv", "videoid,name,page_dir\n1,a,p\n")
    (tmp_path / "info.json").write_text('{"licence": "CC0"}')
    assert SourceTable(str(tmp_path)).count() == 1


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv.zst", b"\x28\xb5\x2f\xfd" + bytes(90), "compressed with Zstandard: unpack it"),
        ("t.csv", gzip.compress(b"videoid,name,page_dir\n"), "compressed with gzip: name it .gz"),
        ("t.csv", b"PK\x03\x04" + bytes(90), "a zip archive or an Excel workbook"),
        ("t.csv", b"PAR1" + bytes(90), "a Parquet file: name it .parquet"),
        ("t.jsonl", b"\n<!DOCTYPE html><html>", "a web page: download the table itself"),
        ("t.csv", b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "git lfs pull"),
        ("t.jsonl", '{"videoid": "1"}'.encode("utf-16"), "is UTF-16: JSON lines must be UTF-8"),
        ("t.json", b'{"videoid": ', "cannot be read"),
        ("t.json", b"[" * 100_000, "nested too deeply|cannot be read"),
        ("t.json", b"", "cannot be read"),
        ("t.json", b"[]", "found: nothing"),
        ("t.parquet", b"", "cannot be read"),
        ("t.csv", "idé,naïve\n".encode("latin-1"), r"found: id\\udce9"),
    ],
)
def test_what_is_no_table_is_named_with_the_fix(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    with pytest.raises(AnimaticError, match=message) as caught:
        source(tmp_path / name, content).count()
    assert "\n" not in str(caught.value)
    str(caught.value).encode()


def test_a_table_in_a_store_that_fails_is_one_line_of_error() -> None:
    class Failing(AbstractFileSystem):
        cachable = False

        def info(self, path: str, **options: object) -> dict[str, object]:
            raise type("NoCredentialsError", (Exception,), {})("Unable to locate\ncredentials")

    fsspec.register_implementation("failing", Failing, clobber=True)
    with pytest.raises(AnimaticError) as caught:
        SourceTable("FAILING://user:secret@host/t.csv")
    message = "the source table FAILING://host/t.csv cannot be read: Unable to locate credentials"
    assert str(caught.value) == message


@pytest.mark.parametrize("path", ["/dev/zero", "/dev/null"])
def test_a_device_is_no_table(path: str) -> None:
    with pytest.raises(AnimaticError, match="is no regular file"):
        SourceTable(path)


def test_parquet_columns_of_any_type_become_text(tmp_path: Path) -> None:
    columns = {
        "videoid": pa.array(["a", "b"]).dictionary_encode(),
        " name ": pa.array([["x"], None]),
        "page_dir": pa.array([None, None]),
        "took": pa.array([1, None], pa.duration("s")),
        "at": pa.array([0, None], pa.timestamp("us", "UTC")),
        "price": pa.array(["1.50", None]).cast(pa.decimal128(9, 2)),
        "where": pa.array([{"x": 1.5}, None]),
        "tags": pa.array([[("k", "v")], None], pa.map_(pa.string(), pa.string())),
        "big": pa.array([2**63, None], pa.uint64()),
        "raw": pa.array([b"\xff", None]),
    }
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    first, second = SourceTable(str(tmp_path / "t.parquet")).rows()
    assert (first.problem, second.problem) == ("malformed_row", "no_caption")
    assert first.detail.startswith("not UTF-8")
    assert first.record["name"] == '["x"]'
    assert (first.record["big"], first.record["price"]) == ("9223372036854775808", "1.50")
    assert set(second.record.values()) == {"b", ""}
