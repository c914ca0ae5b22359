"""A table's rows: what is kept, their problems, and the possible locations of their videos."""

import hashlib
import json
from pathlib import Path

import pytest

from core.errors import AnimaticError, RejectedError
from pipelines.ingest.inputs import rows_digest
from pipelines.sources import ColumnNames, SourceTable
from tests.support.footage import row, write_table


def table(path: Path, text: str | bytes) -> SourceTable:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return SourceTable(str(path))


def test_every_cell_is_text_and_extra_columns_are_kept(tmp_path: Path) -> None:
    rows = [row("007", licence="CC0"), row("8", name='He said "go", loudly\nand twice')]
    source = SourceTable(str(write_table(tmp_path / "t.csv", rows)))
    first, second = source.rows()
    assert (first.row, first.source_id, first.key, first.record["licence"]) == (0, "007", "007", "CC0")
    assert second.caption == 'He said "go", loudly\nand twice'
    assert source.count() == 2


def test_each_bad_row_has_a_reason_and_the_others_continue(tmp_path: Path) -> None:
    source = table(
        tmp_path / "t.csv",
        b"\xef\xbb\xbfvideoid,page_dir,name\n"
        b"1,p,a cat\n1,q,again\n\n2,p, \n,p,no id\n3,p\n4,p,\xff\xfe\n5,p,last\n",
    )
    assert [(r.row, r.problem) for r in source.rows()] == [
        (0, None),
        (1, "duplicate_id"),
        (2, "no_caption"),
        (3, "no_id"),
        (4, "malformed_row"),
        (5, "malformed_row"),
        (6, None),
    ]
    assert source.count() == 7


def test_keys_are_unique_and_fit_a_tar(tmp_path: Path) -> None:
    ids = ["a", "a.b", "a/b", "é", "x" * 300, "_a", "A-1"]
    source = SourceTable(str(write_table(tmp_path / "t.csv", [row(videoid) for videoid in ids])))
    keys = [r.key for r in source.rows()]
    assert len(set(keys)) == len(ids)
    assert all(key.isascii() and not set(key) & set("./\\") and len(key) <= 64 for key in keys)


@pytest.mark.parametrize(
    "columns",
    [
        {"page_dir": "../.."},
        {"page_dir": "/etc"},
        {"videoid": "../secret"},
        {"videoid": "a/b"},
        {"contentUrl": "../../etc/passwd"},
    ],
)
def test_no_row_leaves_the_folder(tmp_path: Path, columns: dict[str, str]) -> None:
    rows = [{**row("1"), **columns}]
    [only] = SourceTable(str(write_table(tmp_path / "t.csv", rows))).rows()
    with pytest.raises(RejectedError, match="unsafe_path"):
        only.candidates("/data/videos")


def test_the_copy_in_the_folder_comes_before_the_download(tmp_path: Path) -> None:
    rows = [row("1", contentUrl="https://example.org/1.mp4"), row("2", contentUrl="sub/2.mov"), row("3")]
    web, relative, bare = SourceTable(str(write_table(tmp_path / "t.csv", rows))).rows()
    assert web.candidates("/v") == ["/v/p/1.mp4", "https://example.org/1.mp4"]
    assert web.candidates(None) == ["https://example.org/1.mp4"]
    assert relative.candidates("s3://bucket/v") == ["s3://bucket/v/sub/2.mov", "s3://bucket/v/p/2.mp4"]
    assert bare.candidates("/v") == ["/v/p/3.mp4"]
    with pytest.raises(RejectedError, match="missing_file"):
        bare.candidates(None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,name\n1,a\n", "no column videoid, page_dir or contentUrl"),
        ("", "found: nothing"),
        ("videoid,name,name,page_dir\n", "twice"),
    ],
)
def test_a_table_without_the_columns_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(AnimaticError, match=message):
        table(tmp_path / "t.csv", text)


def test_a_missing_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AnimaticError, match="cannot be read"):
        SourceTable(str(tmp_path / "none.csv"))


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("b.mp4", ["/v/b.mp4"]),
        (" sub/b.mp4 ", ["/v/sub/b.mp4"]),
        ("/elsewhere/b.mp4", ["/elsewhere/b.mp4"]),
        ("s3://bucket/b.mp4", ["s3://bucket/b.mp4"]),
        ("file:///elsewhere/b.mp4", ["file:///elsewhere/b.mp4"]),
        ("HTTPS://example.org/b.mp4", ["HTTPS://example.org/b.mp4"]),
        ("", ["/v/a.mp4"]),
    ],
)
def test_the_file_that_a_row_names_is_used_and_not_one_named_after_its_id(
    tmp_path: Path, url: str, expected: list[str]
) -> None:
    [only] = table(tmp_path / "t.csv", f"videoid,name,contentUrl\na,text about b,{url}\n").rows()
    assert only.candidates("/v") == expected


def test_an_id_that_is_a_path_is_read_through_the_url(tmp_path: Path) -> None:
    columns = ColumnNames(videoid="path", name="text", contentUrl="path")
    path = tmp_path / "t.csv"
    path.write_text("path,text\nbase.mp4,a base\nsub/dir/base.mp4,a sub base\nsub_dir/base.mp4,another\n")
    rows = list(SourceTable(str(path), columns).rows())
    assert [r.candidates("/v") for r in rows] == [
        ["/v/base.mp4"],
        ["/v/sub/dir/base.mp4"],
        ["/v/sub_dir/base.mp4"],
    ]
    assert len({r.key for r in rows}) == 3
    assert not any(set(r.key) & set("./") for r in rows)


@pytest.mark.parametrize(
    ("url", "videos", "error"),
    [
        ("www.x/y.mp4", "/v", "unknown_protocol: no scheme: https://www.x/y.mp4"),
        ("www.example.org/a.mp4", None, "unknown_protocol: no scheme: https://www.example.org/a.mp4"),
        ("www.example.org/a.mp4", "/v", "unknown_protocol: no scheme: https://www.example.org/a.mp4"),
        ("localhost:8000/a.mp4", "/v", "unknown_protocol: no scheme: https://localhost:8000/a.mp4"),
        ("sub/a.mp4", None, "missing_file: sub/a.mp4 is relative, and no folder of videos is given"),
        ("", None, "missing_file: no contentUrl and no folder of videos"),
        ("sub/a.mp4", "/v", "missing_file"),
    ],
)
def test_a_row_without_a_file_has_the_true_reason(
    tmp_path: Path, url: str, videos: str | None, error: str
) -> None:
    [only] = table(tmp_path / "t.csv", f"videoid,name,contentUrl\na,a cat,{url}\n").rows()
    assert str(only.missing(videos)).startswith(error)


def test_the_rows_of_an_ordinary_table_keep_the_digest_by_which_units_are_recognised(tmp_path: Path) -> None:
    rows = [row(f"00{n}") for n in range(4)]
    rows += [row("000"), row("x.y/z"), row("gone"), row("", name="a"), row("s", name=" ")]
    rows += [row("w", contentUrl="http://127.0.0.1:9/x.mp4"), row("ü"), row("up", page_dir="../..")]
    lines = (json.dumps({**cells, "n": 1.50, "tags": ["a", 1]}) + "\n" for cells in rows)
    for path, digest in (
        (write_table(tmp_path / "t.csv", rows), "42b8117b252a"),
        (tmp_path / "t.jsonl", "4a36e89a3587"),
    ):
        if path.suffix == ".jsonl":
            path.write_text("".join(lines))
        assert rows_digest(list(SourceTable(str(path)).rows())).startswith(digest)


def test_the_digest_of_a_table_is_that_of_its_file_or_of_all_its_files(tmp_path: Path) -> None:
    digests = set()
    for number in range(2):
        path = tmp_path / f"{number}.csv"
        path.write_text(f"videoid,name,contentUrl\n{number},a cat,x.mp4\n")
        assert SourceTable(str(path)).digest == hashlib.sha256(path.read_bytes()).hexdigest()
        digests.add(SourceTable(str(tmp_path)).digest)
    assert len(digests) == 2
