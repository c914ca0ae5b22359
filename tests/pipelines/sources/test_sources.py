"""A table's rows: what is kept, their problems, and the possible locations of their videos."""

from pathlib import Path

import pytest

from core.errors import AnimaticError, RejectedError
from pipelines.sources import SourceTable
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
        b"1,p,a cat\n1,p,again\n\n2,p, \n,p,no id\n3,p\n4,p,\xff\xfe\n5,p,last\n",
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


def test_the_folder_comes_before_the_url(tmp_path: Path) -> None:
    rows = [row("1", contentUrl="https://example.org/1.mp4"), row("2", contentUrl="sub/2.mov"), row("3")]
    web, relative, bare = SourceTable(str(write_table(tmp_path / "t.csv", rows))).rows()
    assert web.candidates("/v") == ["/v/p/1.mp4", "https://example.org/1.mp4"]
    assert web.candidates(None) == ["https://example.org/1.mp4"]
    assert relative.candidates("s3://bucket/v") == ["s3://bucket/v/p/2.mp4", "s3://bucket/v/sub/2.mov"]
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
