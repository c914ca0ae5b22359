"""What a dry run of ingest states: counts over the whole table, rows as they will be treated, and doubts."""

import csv
import json
from pathlib import Path

import pytest

from core.errors import AnimaticError
from core.storage import Folder
from pipelines.dataset.units import committed_units
from pipelines.ingest import IngestConfig, Preview, preview
from pipelines.ingest.samples import samples_of
from tests.support.range_server import serving_ranges

WEB = "https://films.example/{}.mp4"


def write(folder: Path, rows: list[dict[str, str]], name: str = "t.csv") -> str:
    with (folder / name).open("w", newline="") as file:
        table = csv.DictWriter(file, list(dict.fromkeys(key for row in rows for key in row)))
        table.writeheader()
        table.writerows(rows)
    return str(folder / name)


def preview_of(folder: Path, rows: list[dict[str, str]], **settings: object) -> Preview:
    values = {"source": write(folder, rows), "output": str(folder / "out"), **settings}
    return preview(IngestConfig.model_validate(values), probes=bool(settings.get("probes")))


def good(n: int, **more: str) -> dict[str, str]:
    return {"videoid": f"{n:04d}", "name": f"cat {n}", "contentUrl": WEB.format(n), **more}


def findings(found: Preview) -> str:
    return "\n".join(f"{doubt.finding} | {doubt.remedy}" for doubt in found.doubts)


def test_an_ordinary_table_is_counted_and_nothing_is_doubted_or_written(tmp_path: Path) -> None:
    found = preview_of(tmp_path, [good(n) for n in range(600)])
    assert (found.counts.rows, found.counts.tried, found.counts.rejected) == (600, 600, {})
    assert found.counts.schemes == {"https": 600}
    assert found.counts.hosts == {"films.example": 600}
    assert found.counts.captions == {1: 600}
    assert found.doubts == []
    assert [row.row for row in found.rows] == list(range(10))
    assert found.output is not None
    assert (found.output.units, found.output.finished) == (3, 0)
    assert [path.name for path in tmp_path.iterdir()] == ["t.csv"]


def test_rejections_are_those_of_the_ingest_with_their_first_row(tmp_path: Path) -> None:
    rows = [good(0), good(0), good(2, name=" "), good(3, contentUrl="rtsp://camera/1")]
    rows += [good(4, contentUrl="a.mp4"), good(5, contentUrl="http://10.0.0.1/a.mp4"), good(6, videoid="")]
    found = preview_of(tmp_path, rows)
    first = {reason: (each.rows, each.first_row) for reason, each in found.counts.rejected.items()}
    assert first == {
        "duplicate_id": (1, 1),
        "no_caption": (1, 2),
        "unknown_protocol": (1, 3),
        "missing_file": (1, 4),
        "fetch_refused": (1, 5),
        "no_id": (1, 6),
    }
    outcomes: list = []
    config = IngestConfig(source="", output="")
    from pipelines.sources import SourceTable

    refused = [row for row in SourceTable(str(tmp_path / "t.csv")).rows() if row.row > 0]
    (tmp_path / "scratch").mkdir()
    assert list(samples_of(config, refused, tmp_path / "scratch", outcomes)) == []
    reasons = {outcome["row"]: (outcome["reason"], outcome["detail"]) for outcome in outcomes}
    assert reasons == {row.row: (row.reason, row.detail) for row in found.rows if row.reason}


def test_rows_of_every_kind_are_displayed_wherever_they_are(tmp_path: Path) -> None:
    rows = [good(n, timestamp="") for n in range(100)]
    rows[70] |= {"timestamp": "[[0, 2], [3, 5.5]]", "name": '["one", "two"]'}
    rows[80] |= {"name": '["a", "b", "c"]'}
    rows[90] |= {"name": ""}
    found = preview_of(tmp_path, rows)
    displayed = {row.row: row for row in found.rows}
    assert list(displayed) == sorted(displayed)
    assert len(displayed) == 10
    assert displayed[70].spans == [(0.0, 2.0), (3.0, 5.5)]
    assert displayed[70].captions == [["one"], ["two"]]
    assert displayed[80].captions == [["a", "b", "c"]]
    assert displayed[90].reason == "no_caption"
    assert (found.counts.spans, found.counts.rows_with_spans) == (2, 1)
    assert found.counts.captions == {1: 97, 2: 1, 3: 1}


@pytest.mark.parametrize(
    ("change", "settings", "expected"),
    [
        (
            {"contentUrl": "https://www.youtube.com/watch?v=x"},
            {},
            "rows name pages, as 40 of www.youtube.com",
        ),
        ({"contentUrl": WEB + "?X-Amz-Signature=s3cr3t"}, {}, "have a password, token or signature"),
        ({"name": '{"caption": "a cat"}'}, {}, "look like lists or objects"),
        ({"name": "a cat &amp; a dog"}, {}, "contain markup"),
        ({"name": "cafÃ©"}, {}, "text of another encoding"),
        ({"name": "long " * 300}, {}, "more than 1000 characters"),
        ({"name": "the same"}, {}, "40 of 40 rows have the caption 'the same'"),
        ({"name": ""}, {}, "100% of the rows are rejected, most for no_caption"),
        ({"start_time": "3"}, {}, "start_time is not used | --set columns.timestamp=start_time"),
        ({"description": "x"}, {}, "description is not used | --set columns.name=description"),
        ({"contentUrl": "/nowhere/a.mp4"}, {}, "10 of the first 10 local files do not exist"),
        ({"contentUrl": "/nowhere/a.tar.gz#member=x"}, {}, "40 videos are in compressed tars"),
        ({"contentUrl": '{"bytes": "b\'00\'"}'}, {}, "| --layout huggingface"),
        ({}, {"where": "videoid == 'x'"}, "no row is left | check the condition of --where"),
    ],
)
def test_what_may_not_be_meant_is_doubted(
    tmp_path: Path, change: dict[str, str], settings: dict[str, object], expected: str
) -> None:
    found = preview_of(tmp_path, [good(n, **change) for n in range(40)], **settings)
    assert expected in findings(found)
    assert "s3cr3t" not in repr(found)


def test_a_folder_of_videos_beside_addresses_alone_is_doubted_until_its_files_are_named(
    tmp_path: Path,
) -> None:
    rows = [good(n, contentUrl=f"https://www.youtube.com/watch?v={n}") for n in range(3)]
    (tmp_path / "0000.mp4").write_bytes(b"x")
    unused = findings(preview_of(tmp_path, rows, videos=str(tmp_path)))
    assert f"{tmp_path} is not used" in unused
    assert "--set \"columns.contentUrl='{videoid}.mp4'\"" in unused
    assert "is not used" not in findings(preview_of(tmp_path, rows))
    columns = {"contentUrl": "{videoid}.mp4"}
    rows = [{**row, "url": row.pop("contentUrl")} for row in rows]
    named = preview_of(tmp_path, rows, videos=str(tmp_path), columns=columns)
    assert "is not used" not in findings(named)
    assert named.rows[0].locations == [f"{tmp_path}/0000.mp4"]


def test_a_folder_without_captions_is_met_with_what_gives_it_some(tmp_path: Path) -> None:
    (tmp_path / "films").mkdir()
    (tmp_path / "films" / "a.mp4").write_bytes(b"x")
    config = IngestConfig(source=str(tmp_path / "films"), output=str(tmp_path / "out"))
    assert "NAME.txt beside NAME.mp4 is its caption" in findings(preview(config))


def test_further_captions_leave_the_displayed_rows_to_videos(tmp_path: Path) -> None:
    rows = [{**good(n // 20), "name": f"caption {n}"} for n in range(100)]
    found = preview_of(tmp_path, rows)
    assert [row.row for row in found.rows] == [0, 1, 20, 40, 60, 80]


def test_an_empty_page_dir_and_a_busy_host_are_doubted(tmp_path: Path) -> None:
    rows = [good(n, page_dir="") for n in range(1000)]
    found = preview_of(tmp_path, rows, videos=str(tmp_path))
    assert "page_dir is empty in every row" in findings(found)
    assert "1,000 downloads come from films.example" in findings(found)
    assert "10 of the first 10 local files do not exist" in findings(found)
    limited = preview_of(tmp_path, rows, fetch={"per_host_rate": 5})
    assert "downloads come from" not in findings(limited)


def test_what_was_found_out_about_the_format_is_stated(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(
        "videoid;name;contentUrl\n1;caf\xe9;https://a.example/1.mp4\n".encode("utf-16")
    )
    config = IngestConfig(source=str(tmp_path / "t.csv"), output=str(tmp_path / "out"))
    found = preview(config)
    (file,) = found.files
    assert (file.kind, file.delimiter, file.encoding) == ("csv", ";", "utf-16")
    assert "is read with" in findings(found)
    assert found.rows[0].captions == [["café"]]


def test_an_output_of_other_inputs_is_doubted(tmp_path: Path) -> None:
    config = IngestConfig(source=write(tmp_path, [good(n) for n in range(3)]), output=str(tmp_path / "out"))
    (tmp_path / "out" / "units").mkdir(parents=True)
    record = {"config": {"unit_rows": 2}, "videos": None, "source": {"place": "t", "rows": 1}}
    (tmp_path / "out" / "ingest.json").write_text(json.dumps(record))
    (tmp_path / "out" / "units" / "unit-000000.json").write_text("{}")
    found = preview(config)
    assert found.output is not None
    assert found.output.finished == len(committed_units(Folder(config.output))) == 1
    assert "was ingested with other inputs: " in findings(found)


def test_addresses_that_no_system_has_are_counted_as_any_other(tmp_path: Path) -> None:
    hostile = [
        "x" * 5000,
        "https://℀.example/x",
        "http://[v1.x]/",
        "http://..",
        "a\x00b",
        "file://h/x",
        "\u202e",
    ]
    rows = [good(n, contentUrl=text) for n, text in enumerate(hostile)]
    for settings in ({}, {"videos": str(tmp_path)}):
        found = preview_of(tmp_path, rows, **settings)
        assert found.counts.rows == len(hostile)
        assert found.counts.tried + sum(each.rows for each in found.counts.rejected.values()) == len(hostile)


def test_an_empty_table_and_a_folder_that_is_missing_are_errors(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("videoid,name,contentUrl\n")
    config = IngestConfig(source=str(tmp_path / "t.csv"), output=str(tmp_path / "out"))
    with pytest.raises(AnimaticError, match="has no rows"):
        preview(config)
    with pytest.raises(AnimaticError, match=r"the folder of videos .* does not exist"):
        preview(config.model_copy(update={"videos": str(tmp_path / "gone")}))


def test_a_probe_reads_the_first_bytes_of_the_displayed_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    (tmp_path / "v.mp4").write_bytes(bytes(5000))
    (tmp_path / "p.mp4").write_bytes(b"<!DOCTYPE html><p>not found")
    (tmp_path / "e.mp4").write_bytes(b"")
    with serving_ranges(tmp_path) as server:
        places = [f"{server}/parts/v.mp4", f"{server}/parts/p.mp4", f"{server}/parts/v.mp4#offset=0&size=7"]
        places += [str(tmp_path / "v.mp4"), str(tmp_path / "gone.mp4"), str(tmp_path / "e.mp4")]
        places += ["memory://gone.mp4", f"{tmp_path}/v.mp4#offset=4000&size=2000"]
        rows = [good(n, contentUrl=place) for n, place in enumerate(places)]
        values = {"source": write(tmp_path, rows), "output": "o", "fetch": {"allow_private": True}}
        found = preview(IngestConfig.model_validate(values), probes=True)
    probes = [row.probe for row in found.rows]
    assert [(each.bytes, each.is_page, each.reason) for each in probes if each] == [
        (5000, False, None),
        (27, True, None),
        (7, False, None),
        (5000, False, None),
        (None, False, "missing_file"),
        (None, False, "empty_file"),
        (None, False, "missing_file"),
        (None, False, "unreadable_archive"),
    ]
