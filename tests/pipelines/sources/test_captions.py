"""Captions in a table: texts, lists, none, and several rows of one video."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.errors import AnimaticError
from pipelines.sources import ColumnNames, SourceRow, SourceTable


def table(path: Path, text: str) -> SourceTable:
    path.write_text(text)
    return SourceTable(str(path))


def captions(path: Path, cell: str) -> tuple[str | None, list[str]]:
    """Problem and captions of the only row of a CSV."""
    escaped = cell.replace('"', '""')
    [row] = table(path, f'videoid,name,contentUrl\n1,"{escaped}",a.mp4\n').rows()
    return row.problem, row.captions


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        (" a cat ", ["a cat"]),
        ('["a cat", "a dog"]', ["a cat", "a dog"]),
        ("['a cat', 'it''s']", ["a cat", "it", "s"]),
        ("""['a cat', "it's"]""", ["a cat", "it's"]),
        ("['a cat' 'a dog'\n 'a cow']", ["a cat", "a dog", "a cow"]),  # as numpy prints it
        ('["a cat", null, NaN, " "]', ["a cat"]),
        ("[None, 'a cat']", ["a cat"]),
        ("[music]", ["[music]"]),
        ("[1, 2]", ["[1, 2]"]),
        ("['a cat'", ["['a cat'"]),
        ("['a']['b']", ["['a']['b']"]),
        ("__import__('os')", ["__import__('os')"]),
        ("[__import__('os')]", ["[__import__('os')]"]),
        ("nan cat", ["nan cat"]),
        ("[" * 300 + "]" * 300, ["[" * 300 + "]" * 300]),
    ],
)
def test_a_cell_has_the_captions_of_its_list_or_is_one(
    tmp_path: Path, cell: str, expected: list[str]
) -> None:
    assert captions(tmp_path / "t.csv", cell) == (None, expected)


@pytest.mark.parametrize(
    "cell", ["", " ", "nan", "NaN", "[]", "[ ]", "[null]", "[NaN]", "[None]", "['', ' ']"]
)
def test_nothing_nan_and_empty_lists_are_no_caption(tmp_path: Path, cell: str) -> None:
    assert captions(tmp_path / "t.csv", cell)[0] == "no_caption"


def test_lists_and_nulls_of_jsonl_and_parquet_are_captions_and_none(tmp_path: Path) -> None:
    names = [["a cat", "a dog"], ["one"], [], None]
    rows = [{"videoid": str(n), "name": name, "contentUrl": "a.mp4"} for n, name in enumerate(names)]
    (tmp_path / "t.jsonl").write_text(
        "".join(json.dumps(row) + "\n" for row in [*rows, {**rows[0], "videoid": "9", "name": float("nan")}])
    )
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "t.parquet")
    for name in ("t.jsonl", "t.parquet"):
        found = [(r.problem, r.captions) for r in SourceTable(str(tmp_path / name)).rows()]
        assert found[:4] == [
            (None, ["a cat", "a dog"]),
            (None, ["one"]),
            ("no_caption", []),
            ("no_caption", []),
        ]
        assert found[4:] in ([], [("no_caption", [])])
    floats = pa.table({"videoid": ["1"], "name": [float("nan")], "contentUrl": ["a.mp4"]})
    pq.write_table(floats, tmp_path / "f.parquet")
    assert [r.problem for r in SourceTable(str(tmp_path / "f.parquet")).rows()] == ["no_caption"]


def test_a_caption_that_cannot_be_stored_is_malformed(tmp_path: Path) -> None:
    for cell in (r'["\ud800"]', r"['a\x00b']"):
        assert captions(tmp_path / "t.csv", cell)[0] == "malformed_row"


def outcomes(source: SourceTable) -> list[tuple[str, str | None, list[str]]]:
    return [(r.source_id, r.problem, r.captions) for r in source.rows()]


def test_the_captions_of_several_rows_of_a_video_are_kept_together(tmp_path: Path) -> None:
    lines = [(video, f"caption {video} {n}") for video in "ab" for n in range(3)]
    lines.insert(4, ("a", "a late one"))
    text = "".join(json.dumps({"videoid": v, "name": c, "page_dir": "p"}) + "\n" for v, c in lines)
    found = outcomes(table(tmp_path / "t.jsonl", text))
    assert found[0] == ("a", None, ["caption a 0", "caption a 1", "caption a 2", "a late one"])
    assert found[3] == ("b", None, ["caption b 0", "caption b 1", "caption b 2"])
    assert [problem for _, problem, _ in found].count("further_caption") == 5


def test_a_repeated_id_with_another_file_or_no_new_caption_is_a_duplicate(tmp_path: Path) -> None:
    text = "videoid,name,contentUrl\n1,one,a.mp4\n1,two,b.mp4\n1,one,a.mp4\n1,,a.mp4\n1,three,a.mp4\n"
    assert outcomes(table(tmp_path / "t.csv", text)) == [
        ("1", None, ["one", "three"]),
        ("1", "duplicate_id", ["two"]),
        ("1", "duplicate_id", ["one"]),
        ("1", "duplicate_id", []),
        ("1", "further_caption", ["three"]),
    ]


def test_rows_that_are_left_out_give_no_caption_to_others(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("videoid,name,page_dir,x\n1,one,p,1\n1,two,p,0\n1,three,p\n")
    source = SourceTable(str(tmp_path / "t.csv"), where="x > 0.5")
    assert [(r.problem, r.captions) for r in source.rows()] == [
        (None, ["one"]),
        ("filtered", ["two"]),
        ("malformed_row", ["three"]),
    ]


def test_samples_of_further_captions_have_keys_of_their_own() -> None:
    one, other = (SourceRow(0, {"videoid": videoid}, None, ColumnNames()) for videoid in ("a", "a-001"))
    keys = [row.key_of_caption(number) for row in (one, other) for number in range(3)]
    assert keys[0] == "a"
    assert len(set(keys)) == 6


def spanned(path: Path, times: str, name: str) -> SourceRow:
    """The only row of a table of times and captions."""
    cells = ['"' + cell.replace('"', '""') + '"' for cell in ("v", "a.mp4", times, name)]
    return next(table(path, f"videoid,contentUrl,timestamp,name\n{','.join(cells)}\n").rows())


PANDA = "[['0:00:00.000', '0:00:01.000'], ['0:01:01.500', '1:00:02']]"


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        (PANDA, [(0, 1), (61.5, 3602)]),
        ('[["00:10", "00:12.5"]]', [(10, 12.5)]),
        ("[0.5, 3]", [(0.5, 3)]),
        ("[(0, 1), (1, 2.5)]", [(0, 1), (1, 2.5)]),
        ("[[0 1]\n [2 3]]", [(0, 1), (2, 3)]),
        ("['12.5', '13']", [(12.5, 13)]),
        ("2021-01-01", []),
        ("[2021-01-01 10:00]", []),
        ("", []),
    ],
)
def test_spans_of_time_are_read_as_they_are_written(
    tmp_path: Path, times: str, expected: list[tuple[float, float]]
) -> None:
    row = spanned(tmp_path / "t.csv", times, "a cat")
    assert row.problem is None
    assert [(span.start, span.end) for span in row.spans] == expected


def test_every_span_has_its_own_captions(tmp_path: Path) -> None:
    row = spanned(tmp_path / "t.csv", PANDA, "['first', 'second']")
    assert [row.captions_of_span(number) for number in (0, 1)] == [["first"], ["second"]]
    row = spanned(tmp_path / "t.csv", PANDA, "[['first', 'one'], None]")
    assert [row.captions_of_span(number) for number in (0, 1)] == [["first", "one"], []]
    row = spanned(tmp_path / "t.csv", PANDA, "the same")
    assert [row.captions_of_span(number) for number in (0, 1)] == [["the same"], ["the same"]]


@pytest.mark.parametrize(
    ("times", "name", "detail"),
    [
        (PANDA, "['only one']", "2 times, but 1 captions"),
        (PANDA, "[]", "2 times, but 0 captions"),
        (PANDA[:-9], "['first', 'second']", "a list of times that cannot be read"),
        ("[]", "['first']", "an empty list of times"),
        ("[[1, 1]]", "['first']", "[1, 1] does not end after its start"),
        ("[[-1, 1]]", "['first']", "[-1, 1] does not end after its start"),
        ("[[0, 1e999]]", "['first']", "[0, inf] does not end after its start"),
        ("[[0, NaN]]", "['first']", "[0, nan] does not end after its start"),
        ("[['soon', 'later']]", "['first']", "'soon' is no time"),
        ("[[1, 2, 3]]", "['first']", "[1, 2, 3] is no pair of times"),
        ("[[true, 2]]", "['first']", "True is no time"),
    ],
)
def test_times_that_cannot_be_meant_are_malformed(tmp_path: Path, times: str, name: str, detail: str) -> None:
    row = spanned(tmp_path / "t.csv", times, name)
    assert (row.problem, row.detail) == ("malformed_row", detail)


def test_parts_of_a_video_are_distinct_rows_and_equal_ones_are_not(tmp_path: Path) -> None:
    lines = ["a,0,1,x,a.mp4", "a,1,2,y,a.mp4", "a,0:00,0:01,x,a.mp4", "a,,,z,a.mp4", "a,1,0,z,a.mp4"]
    (tmp_path / "t.csv").write_text("\n".join(["id,s,e,name,contentUrl", *lines]))
    columns = ColumnNames(videoid="id", start="s", end="e")
    rows = list(SourceTable(str(tmp_path / "t.csv"), columns).rows())
    assert [row.problem for row in rows] == [None, None, "duplicate_id", None, "malformed_row"]
    assert [len(row.spans) for row in rows[:4]] == [1, 1, 1, 0]
    assert len({row.key for row in rows if row.problem is None}) == 3
    with pytest.raises(AnimaticError, match="has no column t_end"):
        SourceTable(str(tmp_path / "t.csv"), ColumnNames(videoid="id", start="s", end="t_end"))
