"""Published tables by name, and columns whose values are nested, joined or filled into a URL."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.config.validation import configure
from core.errors import AnimaticError
from pipelines.ingest import IngestConfig
from pipelines.sources import LAYOUTS, ColumnNames, SourceRow, SourceTable

WATCH = "https://www.youtube.com/watch?v="
PANDA = (
    "videoID,url,timestamp,caption,matching_score\n"
    f"abc,{WATCH}abc,\"[['0:00:01.000', '0:00:02.500'], [3, 4]]\",\"['a cat', 'a dog']\",\"[0.5, 0.6]\"\n"
)
HDVILA = {
    "video_id": "abc",
    "url": WATCH + "abc",
    "clip": [
        {"clip_id": "abc.0.mp4", "span": ["00:00:01.000", "00:00:02.500"], "caption": "a cat"},
        {"clip_id": "abc.1.mp4", "span": ["00:00:03", "00:00:04"], "caption": "a dog"},
    ],
}
MSRVTT = {
    "info": {"year": "2016"},
    "videos": [
        {"video_id": "video1", "url": WATCH + "other", "start time": 0, "end time": 9},
        {"video_id": "video0", "url": WATCH + "abc", "start time": 1.0, "end time": 2.5, "category": 9},
    ],
    "sentences": [
        {"sen_id": 0, "video_id": "video0", "caption": "a cat"},
        {"sen_id": 1, "video_id": "video0", "caption": "an animal"},
    ],
}


def table(path: Path, content: object, layout: str, **settings: Any) -> SourceTable:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    config = IngestConfig(source=str(path), output="out", layout=layout, **settings)
    return SourceTable(config.source, config.columns, has_videos=True, require_caption=config.require_caption)


def spans(row: SourceRow) -> list[tuple[float, float, list[str]]]:
    return [(span.start, span.end, row.captions_of_span(number)) for number, span in enumerate(row.spans)]


@pytest.mark.parametrize(
    ("layout", "name", "content"),
    [
        ("panda70m", "t.csv", PANDA),
        ("hdvila", "t.jsonl", HDVILA),
        (
            "internvid",
            "t.jsonl",
            {"YoutubeID": "abc", "Start_timestamp": "1", "End_timestamp": "0:00:02.5", "Caption": "a cat"},
        ),
        ("msrvtt", "t.json", MSRVTT),
    ],
)
def test_spans_and_their_captions_are_read_from_published_tables(
    tmp_path: Path, layout: str, name: str, content: object
) -> None:
    rows = list(table(tmp_path / name, content, layout).rows())
    assert rows[0].problem is None
    assert rows[0].candidates(None) == [WATCH + "abc"]
    first, *others = spans(rows[0])
    assert first[:2] == (1.0, 2.5)
    assert first[2][0] == "a cat"
    assert others == ([(3.0, 4.0, ["a dog"])] if layout in ("panda70m", "hdvila") else [])


def test_sentences_of_one_video_are_its_captions_and_have_the_values_of_their_video(tmp_path: Path) -> None:
    first, second = table(tmp_path / "t.json", MSRVTT, "msrvtt").rows()
    assert (first.captions, second.problem) == (["a cat", "an animal"], "further_caption")
    assert first.record["category"] == "9"
    alone = table(tmp_path / "t.json", MSRVTT, "msrvtt-files")
    assert [row.record.get("category") for row in alone.rows()] == [None, None]
    assert next(alone.rows()).candidates("/v") == ["/v/video0.mp4"]


@pytest.mark.parametrize(
    ("layout", "name", "content", "captions", "candidates"),
    [
        ("openvid", "t.csv", "video,caption,fps\na_0.mp4,a cat,30\n", ["a cat"], ["/v/a_0.mp4"]),
        ("vatex", "t.json", [{"videoID": "x_1_2", "enCap": ["a", "b"]}], ["a", "b"], ["/v/x_1_2.mp4"]),
        (
            "activitynet",
            "t.json",
            {"v_x": {"duration": 9, "timestamps": [[0, 1.5]], "sentences": [" a cat"]}},
            ["a cat"],
            ["/v/v_x.mp4"],
        ),
    ],
)
def test_files_of_published_tables_are_found_in_the_folder_of_videos(
    tmp_path: Path, layout: str, name: str, content: object, captions: list[str], candidates: list[str]
) -> None:
    (row,) = table(tmp_path / name, content, layout).rows()
    assert (row.problem, row.captions, row.candidates("/v")) == (None, captions, candidates)


def test_a_table_of_another_layout_names_it(tmp_path: Path) -> None:
    named = [("panda70m", "t.csv", PANDA), ("hdvila", "t.jsonl", HDVILA), ("msrvtt-files", "t.json", MSRVTT)]
    for layout, name, content in named:
        with pytest.raises(AnimaticError, match=rf"looks like {layout} .*pass --layout {layout}"):
            table(tmp_path / name, content, "webvid")
    with pytest.raises(AnimaticError, match=r"pass --layout msrvtt \("):
        SourceTable(str(tmp_path / "t.json"))


def test_a_name_overrides_the_layouts_and_the_record_is_that_of_the_same_names() -> None:
    config = configure(
        IngestConfig,
        values={"source": "s", "output": "o", "layout": "panda70m"},
        sets=["columns.name=text"],
    )
    assert config.columns == ColumnNames(videoid="videoID", name="text", contentUrl="url")
    with pytest.raises(AnimaticError, match=r"'nothing' is no layout; webvid, panda70m"):
        configure(IngestConfig, values={"source": "s", "output": "o", "layout": "nothing"})
    assert LAYOUTS["webvid"].columns == ColumnNames()


NESTED = {"id": {"n": "00012"}, "text": {"long": {"en": "a cat"}}, "media": {"url": "https://x.org/a.mp4"}}
NAMES = ColumnNames(videoid="id.n", name="text.long.en", contentUrl="media.url")


def test_values_within_nested_columns_of_json_and_parquet(tmp_path: Path) -> None:
    (tmp_path / "t.json").write_text(json.dumps([NESTED]))
    (tmp_path / "t.jsonl").write_text(json.dumps(NESTED))
    pq.write_table(pa.Table.from_pylist([NESTED]), tmp_path / "t.parquet")
    for name in ("t.json", "t.jsonl", "t.parquet"):
        source = SourceTable(str(tmp_path / name), NAMES)
        (row,) = source.rows()
        assert (row.source_id, row.captions, row.content_url) == ("00012", ["a cat"], "https://x.org/a.mp4")
        assert source.scan().schemes == {"https"}


def test_a_column_of_this_very_name_is_preferred_to_a_nested_one(tmp_path: Path) -> None:
    record = {"id": "a", "text.en": "flat", "text": {"en": "nested"}, "contentUrl": "/a.mp4"}
    (tmp_path / "t.jsonl").write_text(json.dumps(record))
    (row,) = SourceTable(str(tmp_path / "t.jsonl"), ColumnNames(videoid="id", name="text.en")).rows()
    assert row.captions == ["flat"]


@pytest.mark.parametrize("text", ['"no object"', "[1, [2]]", '{"en": {"deeper": 1}}', "{broken", "\\ud800"])
def test_nested_columns_with_other_content_reject_their_row_alone(tmp_path: Path, text: str) -> None:
    lines = [
        json.dumps({"videoid": "a", "contentUrl": "/a.mp4", "text": {"en": "a cat"}}),
        '{"videoid": "b", "contentUrl": "/b.mp4", "text": ' + text + "}",
        json.dumps({"videoid": "c", "contentUrl": "/c.mp4", "text": json.dumps({"en": "in a text"})}),
    ]
    (tmp_path / "t.jsonl").write_text("\n".join(lines))
    rows = list(SourceTable(str(tmp_path / "t.jsonl"), ColumnNames(name="text.en")).rows())
    assert [row.problem for row in (rows[0], rows[2])] == [None, None]
    assert rows[1].problem in ("malformed_row", "no_caption") or rows[1].captions == ['{"deeper": 1}']


def test_a_join_without_its_array_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(AnimaticError, match="no array videos of objects"):
        table(tmp_path / "t.json", [{"video_id": "a", "caption": "b", "url": "c"}], "msrvtt")


def test_a_row_without_caption_is_taken_where_none_is_required(tmp_path: Path) -> None:
    text = "videoid,name,contentUrl\na,,/a.mp4\nb,a cat,/b.mp4\na,a dog,/a.mp4\na,,/a.mp4\n"
    (tmp_path / "t.csv").write_text(text)
    rows = list(SourceTable(str(tmp_path / "t.csv"), require_caption=False).rows())
    assert [row.problem for row in rows] == [None, None, "further_caption", "duplicate_id"]
    assert rows[0].captions == ["a dog"]
    (tmp_path / "t.csv").write_text("videoid,contentUrl\na,/a.mp4\n")
    with pytest.raises(AnimaticError, match="require_caption=false"):
        SourceTable(str(tmp_path / "t.csv"))
    (only,) = SourceTable(str(tmp_path / "t.csv"), require_caption=False).rows()
    assert (only.problem, only.captions) == (None, [])


def test_a_table_in_another_encoding_is_reported_with_those_that_fit(tmp_path: Path) -> None:
    rows = [f"{number},la fenêtre numéro {number},/a.mp4" for number in range(9)]
    text = "\n".join(["videoid,name,contentUrl", *rows])
    (tmp_path / "t.csv").write_bytes(text.encode("cp1252"))
    source = SourceTable(str(tmp_path / "t.csv"))
    assert "9 of its first 10 lines malformed, which are not UTF-8" in source.notices[0]
    assert "cp1252" in source.notices[0]
    assert source.formats[0].encoding == "utf-8-sig"
    (tmp_path / "t.csv").write_bytes(text.replace("9", "é", 1).encode())
    assert SourceTable(str(tmp_path / "t.csv")).notices == []
