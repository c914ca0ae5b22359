"""Videos of a table that are in archives: by path, by copy, by name alone, and what is ambiguous."""

import zipfile
from pathlib import Path

import fsspec
import pytest

from core.errors import AnimaticError
from pipelines.sources import SourceRow, VideoArchives
from tests.support.archives import write_tar, write_zip


def row(**record: str) -> SourceRow:
    return SourceRow(0, record)


@pytest.fixture
def archives(tmp_path: Path) -> VideoArchives:
    write_tar(
        tmp_path / "a.tar", {"./x/one.mp4": b"1", "x/two.webm": b"22", "same.mp4": b"a", "notes.txt": b""}
    )
    write_zip(tmp_path / "b.zip", {"y/z/three.mp4": b"333", "y/same.mp4": b"b", "z/same.mp4": b"c"})
    found = VideoArchives.at(str(tmp_path))
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("record", "member"),
    [
        ({"videoid": "q", "contentUrl": "x/one.mp4"}, "a.tar#offset=512&size=1"),
        ({"videoid": "q", "contentUrl": "./x/one.mp4"}, "a.tar#offset=512&size=1"),
        ({"videoid": "q", "contentUrl": "elsewhere/one.mp4"}, "a.tar#offset=512&size=1"),
        ({"videoid": "one", "page_dir": "x"}, "a.tar#offset=512&size=1"),
        ({"videoid": "one", "page_dir": "x", "contentUrl": "https://x.org/1"}, "a.tar#offset=512&size=1"),
        ({"videoid": "two"}, "a.tar#offset=1536&size=2"),
        ({"videoid": "three"}, "b.zip#offset=43&size=3"),
        ({"videoid": "same"}, "a.tar#offset=2560&size=1"),
    ],
)
def test_rows_are_found_by_the_names_that_they_have(
    archives: VideoArchives, tmp_path: Path, record: dict[str, str], member: str
) -> None:
    (found,) = archives.located([row(**record)])
    assert (found.problem, found.location) == (None, f"{tmp_path}/{member}")
    assert found.candidates("unused") == [f"{tmp_path}/{member}"]


@pytest.mark.parametrize(
    "record",
    [
        {"videoid": "one", "contentUrl": "https://x.org/one.mp4"},
        {"videoid": "one", "contentUrl": "/x/one.mp4"},
        {"videoid": "one", "contentUrl": "s3://b/x/one.mp4"},
        {"videoid": "one", "contentUrl": "c.tar#offset=512&size=1"},
        {"videoid": "absent", "page_dir": "p", "contentUrl": "https://x.org/1"},
    ],
)
def test_rows_with_another_address_stay_as_they_are(archives: VideoArchives, record: dict[str, str]) -> None:
    assert archives.located([row(**record)]) == [row(**record)]


def test_a_name_that_several_members_have_is_rejected_with_both(archives: VideoArchives) -> None:
    (found,) = archives.located([row(videoid="q", contentUrl="w/same.mp4")])
    assert (found.problem, found.location) == ("missing_file", None)
    assert "several members of the archives are named same.mp4: same.mp4, y/same.mp4" in found.detail


def test_members_that_cannot_be_read_and_archives_that_are_damaged_cost_their_rows_alone(
    tmp_path: Path,
) -> None:
    path = write_zip(tmp_path / "a.zip", {"one.mp4": b"1", "two.mp4": b"2"})
    data = bytearray(path.read_bytes())
    data[data.rfind(b"PK\x01\x02") + 8] |= 1  # two.mp4 is encrypted
    path.write_bytes(data)
    (tmp_path / "b.zip").write_bytes(b"<html>")
    warnings: list[str] = []
    archives = VideoArchives(f"{tmp_path}/*.zip", warnings.append)
    first, second, third = archives.located([row(videoid=name) for name in ("one", "two", "three")])
    assert (first.problem, first.location) == (None, f"{tmp_path}/a.zip#offset=37&size=1")
    assert (second.problem, second.detail) == ("missing_file", "two.mp4: it is encrypted")
    assert third.detail == "no member of the archives is named three.mp4"
    assert len(warnings) == 1
    assert "b.zip cannot be read" in warnings[0]


def test_archives_behind_a_url_are_located_there(tmp_path: Path) -> None:
    memory = fsspec.filesystem("memory")
    path = write_zip(tmp_path / "a.zip", {"x/one.mp4": b"1"}, zipfile.ZIP_DEFLATED)
    memory.pipe("/parts/a-1.zip", path.read_bytes())
    try:
        archives = VideoArchives.at("memory://parts/a-{1..1}.zip")
        assert archives is not None
        (found,) = archives.located([row(videoid="one")])
        assert found.location == "memory://parts/a-1.zip#member=x/one.mp4"
    finally:
        memory.rm("/parts", recursive=True)


def test_folders_without_archives_are_none(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"1")
    assert VideoArchives.at(str(tmp_path)) is None
    assert VideoArchives.at("s3://bucket/videos") is None
    assert VideoArchives.at(None) is None
    with pytest.raises(AnimaticError):
        VideoArchives(str(tmp_path / "none.zip"))
