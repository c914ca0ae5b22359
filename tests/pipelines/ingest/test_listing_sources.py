"""Folders and archives of videos → samples."""

import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.errors import AnimaticError
from core.storage import Folder
from pipelines.dataset import Dataset
from pipelines.dataset.commit import commit_dataset
from pipelines.dataset.records import UnitManifest
from pipelines.dataset.units import read_unit
from pipelines.ingest.inputs import IngestInputs
from pipelines.ingest.needs import check_videos
from pipelines.ingest.table import table_of, with_own_videos
from pipelines.ingest.unit import IngestConfig, make_unit, rejected_rows, retry_unit
from pipelines.sources import ColumnNames, FolderSettings, VideoArchives
from tests.support.archives import write_tar, write_zip
from tests.support.footage import write_coded


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A video of 20 frames."""
    return write_coded(tmp_path_factory.mktemp("video") / "v.mp4", range(20)).read_bytes()


def make_here(source: Path, output: Path, **settings: object) -> Dataset:
    """The dataset of one unit that ``ingest`` makes, in this process alone."""
    values = {"source": str(source), "output": str(output), "short_side": 64, **settings}
    config = IngestConfig(**values)
    table = table_of(config)
    config = with_own_videos(config, table)
    IngestInputs.of(config, table).write(Folder(output))
    make_unit(config, 0, list(table.rows()), {})
    commit_dataset(Folder(output), {"test": "listings"}, 1, table.count())
    return Dataset.open(str(output))


@pytest.mark.parametrize("kind", ["folder", "tar", "deflated"])
def test_videos_of_folders_and_archives_become_samples_with_their_captions(
    tmp_path: Path, video: bytes, kind: str
) -> None:
    members = {
        "chess/a.mp4": video,
        "b.mp4": video,
        "b.txt": b"a cat",
        "bad.mp4": b"no video",
        "bad.txt": b"x",
    }
    source = tmp_path / "source"
    if kind == "folder":
        for name, content in members.items():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes(content)
    elif kind == "tar":
        source = write_tar(tmp_path / "s.tar", members)
    else:
        source = write_zip(tmp_path / "s.zip", members, zipfile.ZIP_DEFLATED)
    dataset = make_here(source, tmp_path / "data")
    assert sorted(dataset.samples.column("caption").to_pylist()) == ["a cat", "chess"]
    assert dataset.info["counts"]["reasons"] == {"not_a_video": 1}
    inputs = IngestInputs.recorded(Folder(tmp_path / "data"))
    assert inputs is not None
    assert inputs.videos == ("../source" if kind == "folder" else "..")


def test_bytes_in_parquet_become_samples(tmp_path: Path, video: bytes) -> None:
    table = pa.table({"id": ["a", "b", "c"], "text": ["a cat", "a dog", "x"], "v": [video, video, None]})
    pq.write_table(table, tmp_path / "t.parquet", row_group_size=1)
    names = ColumnNames(videoid="id", name="text", video_bytes="v")
    dataset = make_here(tmp_path / "t.parquet", tmp_path / "data", columns=names)
    assert dataset.samples.column("caption").to_pylist() == ["a cat", "a dog"]
    assert dataset.info["counts"]["reasons"] == {"missing_file": 1}


def test_videos_without_captions_become_samples_where_none_is_required(tmp_path: Path, video: bytes) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source/a.mp4").write_bytes(video)
    none = FolderSettings(captions="none")
    dataset = make_here(tmp_path / "source", tmp_path / "data", folder=none, require_caption=False)
    assert dataset.samples.column("caption").to_pylist() == [""]


def test_a_folder_of_videos_beside_videos_of_the_source_is_an_error(tmp_path: Path, video: bytes) -> None:
    (tmp_path / "a.mp4").write_bytes(video)
    with pytest.raises(AnimaticError, match="leave out the folder of videos"):
        make_here(tmp_path, tmp_path / "data", videos=str(tmp_path / "others"))


def test_videos_of_a_table_are_found_in_archives_and_found_again_by_a_retry(
    tmp_path: Path, video: bytes
) -> None:
    (tmp_path / "t.csv").write_text("video,caption\na_0.mp4,a cat\nb_1.mp4,a dog\nmissing.mp4,a horse\n")
    write_zip(tmp_path / "part0.zip", {"OpenVid/a_0.mp4": video})
    names = ColumnNames(videoid="video", name="caption", contentUrl="video")
    config = IngestConfig(
        source=str(tmp_path / "t.csv"),
        output=str(tmp_path / "data"),
        videos=str(tmp_path / "part*.zip"),
        columns=names,
        short_side=64,
    )
    check_videos(config.videos)
    archives = VideoArchives.at(config.videos)
    assert archives is not None
    make_unit(config, 0, archives.located(list(table_of(config).rows())), {})
    first = read_unit(Folder(config.output), 0, UnitManifest)
    assert [row.get("reason") for row in first["rows"]] == [None, "missing_file", "missing_file"]
    assert first["rows"][1]["detail"] == "no member of the archives is named b_1.mp4"
    write_tar(tmp_path / "part1.tar", {"b_1.mp4": video})
    config = config.model_copy(update={"videos": str(tmp_path)})
    again = VideoArchives.at(config.videos)
    assert again is not None
    found = again.located(rejected_rows(config, first, ["missing_file"]))
    locations = {row.row: row.location for row in found if row.location is not None}
    retry_unit(config, 0, ["missing_file"], locations=locations)
    second = read_unit(Folder(config.output), 0, UnitManifest)
    assert [row.get("reason") for row in second["rows"]] == [None, None, "missing_file"]
    with pytest.raises(AnimaticError, match=r"no archives|cannot be read"):
        check_videos(str(tmp_path / "none*.zip"))
