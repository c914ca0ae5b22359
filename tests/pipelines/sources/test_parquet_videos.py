"""Parquet tables whose bytes are videos."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.errors import AnimaticError
from pipelines.sources import LAYOUTS, ColumnNames, MemberAddress, SourceTable

TYPE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def write(path: Path, count: int, start: int = 0) -> Path:
    videos = [{"bytes": b"\xff\x00" + bytes([n]), "path": f"{n}.mp4"} for n in range(start, start + count)]
    captions = [f"caption {n}" for n in range(start, start + count)]
    table = pa.table({"video": pa.array(videos, TYPE), "caption": captions, "tags": [["a", "b"]] * count})
    pq.write_table(table, path, row_group_size=2)
    return path


def content(address: str, root: Path) -> bytes:
    parsed = MemberAddress.parse(address)
    assert parsed is not None
    values = pq.read_table(root / parsed.url).column("video").to_pylist()
    assert parsed.column == "video.bytes"
    assert parsed.row is not None
    return bytes(values[parsed.row]["bytes"])


def test_rows_have_addresses_of_their_bytes_and_no_bytes(tmp_path: Path) -> None:
    write(tmp_path / "p-0.parquet", 5)
    write(tmp_path / "p-1.parquet", 3, start=5)
    table = SourceTable(str(tmp_path), LAYOUTS["huggingface"].columns)
    rows = list(table.rows())
    assert table.videos == str(tmp_path)
    assert [row.source_id for row in rows] == [f"{n}.mp4" for n in range(8)]
    assert [row.captions for row in rows] == [[f"caption {n}"] for n in range(8)]
    assert [content(row.content_url, tmp_path) for row in rows] == [bytes([255, 0, n]) for n in range(8)]
    assert all(row.problem is None for row in rows)
    assert rows[0].record["tags"] == '["a", "b"]'
    assert "bytes" not in rows[0].record["video"]
    assert rows[6].candidates(table.videos) == [f"{tmp_path}/p-1.parquet#column=video.bytes&row=1"]


def test_a_table_with_videos_in_it_is_met_with_its_layout(tmp_path: Path) -> None:
    with pytest.raises(AnimaticError, match="pass --layout huggingface"):
        SourceTable(str(write(tmp_path / "p.parquet", 1)))
    named = pq.read_table(tmp_path / "p.parquet").rename_columns({"caption": "text"})
    pq.write_table(named, tmp_path / "p.parquet")
    with pytest.raises(AnimaticError, match=r"--layout huggingface.*--set columns.name=NAME"):
        SourceTable(str(tmp_path / "p.parquet"))


def test_the_digest_follows_all_but_the_videos_which_are_not_read(tmp_path: Path) -> None:
    columns = LAYOUTS["huggingface"].columns
    first = SourceTable(str(write(tmp_path / "p.parquet", 3)), columns).digest
    assert SourceTable(str(write(tmp_path / "p.parquet", 3)), columns).digest == first
    assert SourceTable(str(write(tmp_path / "p.parquet", 4)), columns).digest != first
    table = pq.read_table(write(tmp_path / "p.parquet", 3))
    captions = pa.array(["caption 9", *table.column("caption").to_pylist()[1:]])
    pq.write_table(table.set_column(1, "caption", captions), tmp_path / "p.parquet")
    assert SourceTable(str(tmp_path / "p.parquet"), columns).digest != first


def test_a_column_that_is_bytes_alone_and_one_beside_a_url(tmp_path: Path) -> None:
    table = pa.table({"videoid": ["a"], "name": ["a cat"], "mp4": [b"1"], "contentUrl": ["https://x.org/a"]})
    pq.write_table(table, tmp_path / "t.parquet")
    (row,) = SourceTable(str(tmp_path / "t.parquet"), ColumnNames(video_bytes="mp4")).rows()
    assert row.record == {"videoid": "a", "name": "a cat", "contentUrl": "t.parquet#column=mp4&row=0"}


@pytest.mark.parametrize("column", ["video", "video.path", "caption", "none", "tags.list.element"])
def test_another_column_than_one_of_bytes_is_an_error_that_names_those(tmp_path: Path, column: str) -> None:
    write(tmp_path / "p.parquet", 1)
    with pytest.raises(AnimaticError, match=r"no column .* of bytes.*found: video\.bytes\)"):
        SourceTable(str(tmp_path / "p.parquet"), ColumnNames(videoid="caption", video_bytes=column))
    (tmp_path / "t.csv").write_text("videoid,name,contentUrl\n")
    with pytest.raises(AnimaticError, match="no Parquet file"):
        SourceTable(str(tmp_path / "t.csv"), ColumnNames(video_bytes=column))
