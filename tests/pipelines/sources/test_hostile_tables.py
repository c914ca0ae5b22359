"""Tables as nobody should write them: each row has its outcome, and the rest of the table its own."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.errors import AnimaticError
from pipelines.sources import SourceTable

HEAD = "videoid,name,contentUrl\n"


def outcomes(path: Path, content: str | bytes) -> list[tuple[str, str | None]]:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return [(row.source_id, row.problem) for row in SourceTable(str(path)).rows()]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param("\ufeff" + HEAD + "1,a,x\n", [("1", None)], id="byte order mark"),
        pytest.param("\ufeff\ufeff" + HEAD + "1,a,x\n", AnimaticError, id="two byte order marks"),
        pytest.param((HEAD + "1,a,x\n").encode("utf-16"), [("1", None)], id="UTF-16"),
        pytest.param((HEAD + "1,a,x\n").encode("utf-32"), AnimaticError, id="UTF-32"),
        pytest.param(HEAD + "1,a\0b,x\n2,b,x\n", [("1", "malformed_row"), ("2", None)], id="NUL"),
        pytest.param(
            HEAD + "1,a,x\r2,b,x\r\n3,c,x\n", [("1", None), ("2", None), ("3", None)], id="newlines"
        ),
        pytest.param(
            HEAD + "1,a,x\n\n \n2,b,x\n", [("1", None), (" ", "malformed_row"), ("2", None)], id="blank"
        ),
        pytest.param(HEAD + '1,"a,x\n2,b,x\n', AnimaticError, id="unclosed quote"),
        pytest.param(
            HEAD + '1,"a\nb",x\n2,c"d,x\n', [("1", None), ("2", None)], id="line break and stray quote"
        ),
        pytest.param("videoid,name,name,contentUrl\n", AnimaticError, id="a column twice"),
        pytest.param(
            "videoid, videoid,name,contentUrl\n", AnimaticError, id="a column twice but for a blank"
        ),
        pytest.param("VideoID,name,contentUrl\n1,a,x\n", AnimaticError, id="another case"),
        pytest.param("", AnimaticError, id="empty"),
        pytest.param("\n\n\n", AnimaticError, id="blank lines only"),
        pytest.param(HEAD, [], id="header only"),
        pytest.param(HEAD.strip(), [], id="header without a newline"),
        pytest.param("1,a,x\n2,b,x\n", AnimaticError, id="no header"),
        pytest.param(
            HEAD + "1,a,x,\n2,b,x,\n", [("1", "malformed_row"), ("2", "malformed_row")], id="trailing"
        ),
        pytest.param(HEAD + "1,a,x\n" + HEAD, [("1", None), ("videoid", None)], id="joined files"),
        pytest.param(
            HEAD + f"{'9' * 4999},a,x\n1e400,b,x\n", [("9" * 4999, None), ("1e400", None)], id="numbers"
        ),
        pytest.param(
            HEAD + "2024-01-01,a,x\n12:30,b,x\n", [("2024-01-01", None), ("12:30", None)], id="dates"
        ),
        pytest.param(HEAD + "é,a,x\ne\u0301,b,x\n", [("é", None), ("e\u0301", None)], id="normal forms"),
        pytest.param(HEAD + "A,a,x\na,b,x\n a,c,x\n", [("A", None), ("a", None), (" a", None)], id="case"),
        pytest.param(
            HEAD + "🎬,a,x\n\u202ecba,b,x\n", [("🎬", None), ("\u202ecba", None)], id="emoji and RTL"
        ),
        pytest.param(
            HEAD + "CON,a,x\nnul.txt,b,x\n", [("CON", None), ("nul.txt", None)], id="Windows' names"
        ),
        pytest.param(
            HEAD + "..,a,x\n.,b,x\n-rf,c,x\n", [("..", None), (".", None), ("-rf", None)], id="paths"
        ),
        pytest.param(HEAD + "1,  ,x\n2,\u00a0,x\n3,\u200b,x\n", None, id="invisible captions"),
    ],
)
def test_a_hostile_csv_has_an_outcome_for_every_row(
    tmp_path: Path, content: str | bytes, expected: list[tuple[str, str | None]] | type[AnimaticError] | None
) -> None:
    if expected is AnimaticError:
        with pytest.raises(AnimaticError) as caught:
            outcomes(tmp_path / "t.csv", content)
        assert "\n" not in str(caught.value)
        return
    found = outcomes(tmp_path / "t.csv", content)
    assert expected is None or found == expected
    keys = [row.key for row in SourceTable(str(tmp_path / "t.csv")).rows()]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('{"videoid": 1e400, "name": "a", "contentUrl": "x"}', None),
        ('{"videoid": true, "name": "a", "contentUrl": "x"}', None),
        ('{"videoid": null, "name": "a", "contentUrl": "x"}', "no_id"),
        ('{"videoid": {"$oid": "5f"}, "name": "a", "contentUrl": "x"}', None),
        ('{"videoid": "1", "name": {"en": "a"}, "contentUrl": "x"}', None),
        ('{"videoid": "1", "name": "\\ud83d", "contentUrl": "x"}', "malformed_row"),
        ('{"videoid": "1", "name": "\\ud83c\\udfac", "contentUrl": "x"}', None),
        ('{"videoid": "1", "name": Infinity, "contentUrl": "x"}', None),
        ("{'videoid': '1', 'name': 'a', 'contentUrl': 'x'}", "malformed_row"),
        ('{"videoid": "1", "name": "a", "contentUrl": "x"', "malformed_row"),
        ('{"videoid": "1", "name": "a", "contentUrl": "x"},', "malformed_row"),
        ('"text"', "malformed_row"),
        ("42", "malformed_row"),
    ],
)
def test_a_hostile_line_of_json_has_an_outcome(tmp_path: Path, line: str, problem: str | None) -> None:
    good = '{"videoid": "%s", "name": "good", "contentUrl": "x"}'
    found = outcomes(tmp_path / "t.jsonl", "\n".join([good % "first", line, good % "last"]))
    assert [found[0], found[2]] == [("first", None), ("last", None)]
    assert found[1][1] == problem


def test_hostile_parquet_files_have_rows_or_one_line_of_error(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    names = ("videoid", "name", "contentUrl")
    pq.write_table(pa.table({name: pa.array([], pa.string()) for name in names}), path)
    assert SourceTable(str(path)).count() == 0
    nested = {"videoid": [{"id": 1}], "name": [[["a"]]], "contentUrl": ["x"]}
    pq.write_table(pa.table(nested), path)
    [row] = SourceTable(str(path)).rows()
    assert (row.source_id, row.problem) == ('{"id": 1}', None)
    pq.write_table(pa.table({"video": pa.array([dict.fromkeys(names, "1")])}), path)
    with pytest.raises(AnimaticError, match="has no column videoid"):
        SourceTable(str(path))
    pq.write_table(pa.table([pa.array(["1"])] * 4, [*names, "name"]), path)
    with pytest.raises(AnimaticError, match=r"names a column twice|cannot be read"):
        SourceTable(str(path)).count()


def test_a_folder_with_the_name_of_a_table_is_searched(tmp_path: Path) -> None:
    (tmp_path / "t.csv").mkdir()
    with pytest.raises(AnimaticError, match="has no table"):
        SourceTable(str(tmp_path / "t.csv"))
    assert outcomes(tmp_path / "t.csv" / "part.csv", HEAD + "1,a,x\n") == [("1", None)]
    assert SourceTable(str(tmp_path / "t.csv")).count() == 1
