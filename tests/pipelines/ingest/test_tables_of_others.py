"""From tables of other data sets to samples: several captions, and what a table needs before the work."""

import json
import shutil
from pathlib import Path

import fsspec
import pytest
from fsspec.registry import known_implementations

from core.errors import AnimaticError
from core.storage import Folder
from pipelines.dataset import Dataset
from pipelines.dataset.commit import commit_dataset
from pipelines.dataset.records import UnitManifest
from pipelines.dataset.units import read_unit
from pipelines.dataset.verify import verify
from pipelines.fetch import FetchPolicy
from pipelines.ingest import ingest
from pipelines.ingest.inputs import rows_digest
from pipelines.ingest.needs import check_videos, needs_of
from pipelines.ingest.unit import IngestConfig, make_unit, retry_unit
from pipelines.sources import ColumnNames, SourceRow, SourceTable
from tests.support.footage import frame_number, frames_of, write_coded

MSRVTT = ColumnNames(videoid="video_id", name="caption", page_dir="dir")


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with videos of 20 and 30 frames."""
    folder = tmp_path_factory.mktemp("videos")
    (folder / "v").mkdir()
    for number, frames in enumerate((20, 30)):
        write_coded(folder / "v" / f"video{number}.mp4", range(frames))
    return folder


def write_msrvtt(path: Path, videos: int = 2) -> Path:
    lines = (
        json.dumps({"video_id": f"video{video}", "caption": f"cap {video} {n}", "dir": "v"})
        for video in range(videos)
        for n in range(3)
    )
    path.write_text("\n".join(lines))
    return path


def config_for(table: Path, videos: Path, output: Path, **changes: object) -> IngestConfig:
    settings: dict[str, object] = {"short_side": 64, "columns": MSRVTT, **changes}
    return IngestConfig(source=str(table), videos=str(videos), output=str(output), **settings)


def make_here(config: IngestConfig) -> Dataset:
    """The dataset of one unit that ``ingest`` makes, in this process alone."""
    table = SourceTable(config.source, config.columns, config.where, config.csv, has_videos=True)
    rows = list(table.rows())
    make_unit(config, 0, rows, {})
    commit_dataset(Folder(config.output), {"test": "tables"}, 1, len(rows))
    return Dataset.open(config.output)


def test_the_captions_of_a_video_are_stored_together(videos: Path, tmp_path: Path) -> None:
    dataset = make_here(config_for(write_msrvtt(tmp_path / "t.jsonl"), videos, tmp_path / "data"))
    assert dataset.samples["key"].to_pylist() == ["video0-000", "video1-000"]
    assert dataset.samples["caption"].to_pylist() == ["cap 0 0", "cap 1 0"]
    info = json.loads(dataset.read(1, "json"))
    assert info["captions"] == ["cap 1 0", "cap 1 1", "cap 1 2"]
    assert dataset.samples["more_captions"].to_pylist() == [["cap 0 1", "cap 0 2"], ["cap 1 1", "cap 1 2"]]
    assert info["record"] == {"video_id": "video1", "caption": "cap 1 0", "dir": "v"}
    assert dataset.info["counts"]["reasons"] == {"further_caption": 4}
    assert verify(tmp_path / "data", deep=True) == []


def test_each_caption_of_a_video_is_a_sample_if_asked(videos: Path, tmp_path: Path) -> None:
    table = write_msrvtt(tmp_path / "t.jsonl")
    dataset = make_here(config_for(table, videos, tmp_path / "data", captions="each", clip_seconds=0.64))
    captions = dataset.samples["caption"].to_pylist()
    assert captions == [f"cap {video} {n}" for video in range(2) for n in range(3)]
    assert len(set(dataset.samples["key"].to_pylist())) == 6
    assert dataset.samples["more_captions"].to_pylist() == [None] * 6
    assert dataset.samples["source_id"].to_pylist() == ["video0"] * 3 + ["video1"] * 3
    assert dataset.read(0, "mp4") == dataset.read(1, "mp4") == dataset.read(2, "mp4")
    assert dataset.info["counts"] == {
        "rows": 6,
        "samples": 6,
        "rejected_rows": 4,
        "reasons": {"further_caption": 4},
        "dropped_clips": {},
    }
    assert verify(tmp_path / "data", deep=True) == []


def test_a_video_with_one_caption_lists_no_captions(videos: Path, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("video_id,caption,dir\nvideo0,a cat,v\n")
    dataset = make_here(config_for(tmp_path / "t.csv", videos, tmp_path / "data", captions="each"))
    assert "captions" not in json.loads(dataset.read(0, "json"))
    manifest = read_unit(dataset.folder, 0, UnitManifest)
    assert "more_captions" not in manifest["samples"][0]


PANDA = """videoID,url,timestamp,caption
abc,v/video1.mp4,"[['0:00', '0:00:00.800'], ['0:00:00.4', '0:00:01.2'], [5, 6]]","['one', 'two', 'three']"
"""


def test_each_span_of_a_video_is_a_clip_with_its_caption(videos: Path, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(PANDA)
    columns = ColumnNames(videoid="videoID", contentUrl="url", name="caption")
    dataset = make_here(config_for(tmp_path / "t.csv", videos, tmp_path / "data", columns=columns))
    assert dataset.samples["key"].to_pylist() == ["abc-000", "abc-001"]
    assert dataset.samples["caption"].to_pylist() == ["one", "two"]
    infos = [json.loads(dataset.read(number, "json")) for number in (0, 1)]
    assert [(info["start"], info["duration"], info["span"]) for info in infos] == [(0, 0.8, 0), (0.4, 0.8, 1)]
    for number, first in ((0, 0), (1, 10)):
        (tmp_path / "clip.mp4").write_bytes(dataset.read(number, "mp4"))
        numbers = [frame_number(frame) for frame in frames_of(tmp_path / "clip.mp4")]
        assert numbers == list(range(first, first + 20))
    assert dataset.info["counts"]["dropped_clips"] == {"no_frames": 1}
    assert verify(tmp_path / "data", deep=True) == []


INTERNVID = """YoutubeID,Start,End,Caption,path
abc,0:00:00,0:00:00.8,one,v/video1.mp4
abc,0:00:00.4,0:00:01.2,two,later.mp4
def,0,0.8,three,v/video0.mp4
abc,0.4,1.2,four,later.mp4
abc,0.2,1,six,later.mp4
abc,1,0,five,later.mp4
"""


def test_rows_of_parts_of_a_video_are_samples_of_their_own(videos: Path, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(INTERNVID)
    (tmp_path / "v").mkdir()
    for number in (0, 1):
        shutil.copy(videos / "v" / f"video{number}.mp4", tmp_path / "v")
    columns = ColumnNames(videoid="YoutubeID", start="Start", end="End", contentUrl="path", name="Caption")
    config = config_for(tmp_path / "t.csv", tmp_path, tmp_path / "data", columns=columns)
    dataset = make_here(config)
    assert dataset.samples["caption"].to_pylist() == ["one", "three"]
    assert dataset.info["counts"]["reasons"] == {"further_caption": 1, "malformed_row": 1, "missing_file": 2}
    shutil.copy(videos / "v" / "video1.mp4", tmp_path / "later.mp4")
    retry_unit(config, 0, ["missing_file"])
    commit_dataset(Folder(tmp_path / "data"), {"test": "tables"}, 1, 6)
    dataset = Dataset.open(tmp_path / "data")
    assert dataset.samples["caption"].to_pylist() == ["one", "two", "three", "six"]
    assert dataset.samples["source_id"].to_pylist() == ["abc", "abc", "def", "abc"]
    assert len(set(dataset.samples["key"].to_pylist())) == 4
    infos = [json.loads(dataset.read(number, "json")) for number in range(3)]
    assert [(info["start"], info["duration"]) for info in infos] == [(0, 0.8), (0.4, 0.8), (0, 0.8)]
    assert infos[1]["captions"] == ["two", "four"]
    assert verify(tmp_path / "data", deep=True) == []


def test_a_retry_knows_the_captions_of_other_rows(videos: Path, tmp_path: Path) -> None:
    table = write_msrvtt(tmp_path / "t.jsonl", videos=3)
    later = config_for(table, tmp_path / "v", tmp_path / "data")
    (tmp_path / "v" / "v").mkdir(parents=True)
    make_here(later)
    assert read_unit(Folder(tmp_path / "data"), 0, UnitManifest)["rows"][6]["captions"] == [
        "cap 2 1",
        "cap 2 2",
    ]
    write_coded(tmp_path / "v" / "v" / "video2.mp4", range(20))
    assert retry_unit(later, 0, ["missing_file"])["samples"] == 1
    commit_dataset(Folder(tmp_path / "data"), {"test": "tables"}, 1, 9)
    dataset = Dataset.open(tmp_path / "data")
    assert json.loads(dataset.read(0, "json"))["captions"] == ["cap 2 0", "cap 2 1", "cap 2 2"]


def test_further_captions_are_part_of_a_units_rows() -> None:
    row = SourceRow(0, {"videoid": "a", "name": "x"})
    more = SourceRow(0, {"videoid": "a", "name": "x"}, more_captions=("y",))
    assert rows_digest([row]) != rows_digest([more])


def test_one_bad_row_of_any_scheme_is_rejected_and_the_others_go_on(videos: Path, tmp_path: Path) -> None:
    urls = ["v/video0.mp4", "ftp://127.0.0.1:9/x.mp4", "s3://My Bucket/x.mp4", "sftp://127.0.0.1/x.mp4"]
    urls += ["no-such-scheme://x/y.mp4", "zip://a.mp4::ftp://127.0.0.1/x", "www.x.org/y.mp4", "v/video1.mp4"]
    rows = [f"{number},a cat,{url}" for number, url in enumerate(urls)]
    (tmp_path / "t.csv").write_text("\n".join(["videoid,name,contentUrl", *rows]))
    policy = FetchPolicy(attempts=2, backoff_s=0.01, timeout_s=5)
    config = config_for(tmp_path / "t.csv", videos, tmp_path / "data", fetch=policy, columns=ColumnNames())
    dataset = make_here(config)
    assert dataset.samples["source_id"].to_pylist() == ["0", "7"]
    found = {reject["source_id"]: reject["reason"] for reject in dataset.rejects.to_pylist()}
    assert found == {
        "1": "fetch_failed",
        "2": "fetch_refused",
        "3": "unknown_protocol",
        "4": "unknown_protocol",
        "5": "fetch_refused",
        "6": "unknown_protocol",
    }
    assert all(reject["detail"] for reject in dataset.rejects.to_pylist())


def test_what_a_whole_scheme_lacks_is_reported_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    known = {"class": "no_such_package.fs.FS", "err": "install no_such_package"}
    monkeypatch.setitem(known_implementations, "absent", known)
    (tmp_path / "t.csv").write_text(
        "videoid,name,contentUrl\n1,a,S3://b/x.mp4\n2,b,absent://x\n3,c,absent://y\n4,d,/x.mp4\n5,e,x :// y\n"
    )
    schemes = SourceTable(str(tmp_path / "t.csv")).scan().schemes
    assert schemes == {"s3", "absent"}
    absent, s3 = needs_of(schemes, FetchPolicy())
    assert absent == "videos at absent:// addresses will be rejected: install no_such_package"
    assert "no credentials were found: set AWS_ACCESS_KEY_ID" in s3
    for videos in ("absent://x", "s3://b/videos"):
        with pytest.raises(AnimaticError, match=r"the folder of videos .* cannot be read: "):
            check_videos(videos)
    monkeypatch.setitem(fsspec.config.conf, "s3", {"anon": True})
    assert needs_of(["s3", "file", "http", "memory"], FetchPolicy()) == []


def test_how_a_table_is_read_is_reported_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("videoid;name;contentUrl\n")
    lines: list[str] = []
    config = IngestConfig(source=str(tmp_path / "t.csv"), output=str(tmp_path / "data"))
    with pytest.raises(AnimaticError, match="has no rows"):
        ingest(config, on_warning=lines.append)
    assert lines == ["t.csv is read with csv.delimiter=';'"]
