"""Folders and archives of videos without a table: their rows, captions and addresses."""

import gzip
import io
import json
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.errors import AnimaticError
from pipelines.sources import FolderSettings, MemberAddress, SourceTable
from tests.support.archives import write_tar, write_zip

SRT = "1\n00:00:01,000 --> 00:00:02,500\n<i>a cat</i>\nsits\n\n2\n00:00:03,000 --> 00:00:04,000\na dog\n"
VTT = "WEBVTT\n\n00:01.000 --> 00:02.500 align:start\na cat sits\n\n00:03.000 --> 00:04.000\na dog\n"
SPANS = [(1.0, 2.5, ["a cat sits"]), (3.0, 4.0, ["a dog"])]


def write(folder: Path, files: dict[str, bytes | str]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def rows(source: Path | str, **settings: Any) -> dict[str, tuple[str | None, list[str]]]:
    """Problem and captions by id."""
    table = SourceTable(str(source), **settings)
    return {row.source_id: (row.problem, row.captions) for row in table.rows()}


def bytes_at(row_url: str, root: str) -> bytes:
    """What an address means, read independently of the code that made it."""
    address = MemberAddress.parse(row_url)
    assert address is not None
    path = Path(root, address.url)
    if address.member is None:
        assert address.offset is not None
        assert address.size is not None
        return path.read_bytes()[address.offset :][: address.size]
    if path.suffix == ".zip":
        return zipfile.ZipFile(path).read(address.member)
    with tarfile.open(path) as tar:
        file = tar.extractfile(address.member)
        assert file is not None
        return file.read()


def test_captions_are_found_beside_videos_or_in_the_names_of_folders(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "a.mp4": "1",
            "a.txt": " a cat \n",
            "b.webm": "22",
            "b.json": json.dumps({"captions": ["a dog", "an animal"], "score": 4.5, "videoid": "other"}),
            "c.MP4": "3",
            "c.srt": SRT,
            "sub/d.avi": "4",
            "sub/d.vtt": VTT,
            "ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi": "5",
            "v_HandstandPushups_g02_c03.avi": "6",
            "playing_chess/x.mkv": "7",
            "videos/train/y.mp4": "8",
            "readme.md": "no video",
            ".hidden/z.mp4": "9",
        },
    )
    table = SourceTable(str(tmp_path))
    found = {row.source_id: row for row in table.rows()}
    assert list(found) == sorted(found)
    captions = {name: row.captions for name, row in found.items() if not row.spans}
    assert captions == {
        "ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01": ["apply eye makeup"],
        "a": ["a cat"],
        "b": ["a dog", "an animal"],
        "playing_chess/x": ["playing chess"],
        "v_HandstandPushups_g02_c03": ["handstand pushups"],
        "videos/train/y": [],
    }
    for name in ("c", "sub/d"):
        spans = found[name].spans
        assert [(s.start, s.end, found[name].captions_of_span(n)) for n, s in enumerate(spans)] == SPANS
    assert found["videos/train/y"].problem == "no_caption"
    assert found["b"].record["score"] == "4.5"
    assert (table.videos, found["sub/d"].candidates(table.videos)) == (
        str(tmp_path),
        [f"{tmp_path}/sub/d.avi"],
    )
    assert "9 videos" not in table.findings[0]
    assert f"{tmp_path} has 8 videos" in table.findings[0]


@pytest.mark.parametrize(
    ("setting", "captions"),
    [("auto", ["a cat"]), ("sidecar", ["a cat"]), ("class", ["chess"]), ("none", [])],
)
def test_the_origin_of_captions_can_be_set(tmp_path: Path, setting: Any, captions: list[str]) -> None:
    write(tmp_path, {"chess/a.mp4": "1", "chess/a.txt": "a cat"})
    assert rows(tmp_path, folder=FolderSettings(captions=setting))["chess/a"][1] == captions


@pytest.mark.parametrize(
    ("name", "content", "fault"),
    [
        ("a.json", "{broken", "cannot be read"),
        ("a.json", "[" * 100_000, "cannot be read"),
        ("a.txt", b"\xff\xfe\xfd", "not UTF-8"),
        ("a.txt", "a\0b", "NUL"),
        ("a.txt", "x" * ((1 << 20) + 1), "larger than"),
        ("a.srt", "no cues", "no cue"),
        ("a.srt", "1\n00:00:09,000 --> 00:00:01,000\nbackwards\n", "no cue"),
    ],
)
def test_a_bad_sidecar_rejects_its_video_alone(
    tmp_path: Path, name: str, content: bytes | str, fault: str
) -> None:
    write(tmp_path, {"a.mp4": "1", name: content, "b.mp4": "2", "b.txt": "a dog"})
    first, second = SourceTable(str(tmp_path)).rows()
    assert first.problem == "malformed_row"
    assert fault in first.detail
    assert (second.problem, second.captions) == (None, ["a dog"])


def test_a_folder_with_tables_stays_one_of_tables(tmp_path: Path) -> None:
    write(tmp_path, {"t.csv": "videoid,name,contentUrl\na,a cat,/a.mp4\n", "v/b.mp4": "1", "v/b.json": "{}"})
    assert list(rows(tmp_path)) == ["a"]
    (tmp_path / "t.csv").unlink()
    assert list(rows(tmp_path)) == ["v/b"]
    write(tmp_path, {"all.json": json.dumps([{"videoid": "c", "name": "a dog", "contentUrl": "/c.mp4"}])})
    assert list(rows(tmp_path)) == ["c"]


def test_digest_and_fingerprint_follow_what_a_folder_contains(tmp_path: Path) -> None:
    write(tmp_path, {"a.mp4": "1", "a.txt": "a cat"})
    first = SourceTable(str(tmp_path))
    same = SourceTable(str(tmp_path))
    assert (first.digest, first.fingerprint) == (same.digest, same.fingerprint)
    (tmp_path / "a.txt").write_text("a dog")
    assert SourceTable(str(tmp_path)).fingerprint != first.fingerprint
    assert SourceTable(str(tmp_path)).digest != first.digest
    (tmp_path / "a.txt").write_text("a cat")
    assert SourceTable(str(tmp_path)).digest == first.digest
    (tmp_path / "b.mp4").write_text("2")
    assert SourceTable(str(tmp_path)).count() == 2


SHARD = {
    "000.mp4": b"one",
    "000.txt": b"a cat",
    "000.json": json.dumps({"caption": "unused", "url": "https://x.org/a"}).encode(),
    "000.jpg": b"jpeg",
    "001.mp4": b"second",
    "001.512.mp4": b"a rung",
    "001.json": json.dumps({"text": ["a dog", "an animal"]}).encode(),
    "./002.webm": b"no caption",
}


@pytest.mark.parametrize(
    ("suffix", "mode"), [(".tar", "w"), (".tar.gz", "w:gz"), (".tgz", "w:gz"), (".tar.xz", "w:xz")]
)
def test_shards_are_sources_whose_addresses_are_those_of_the_bytes(
    tmp_path: Path, suffix: str, mode: str
) -> None:
    write_tar(tmp_path / f"shard-000{suffix}", SHARD, mode)
    table = SourceTable(str(tmp_path / f"shard-000{suffix}"))
    found = {row.source_id: row for row in table.rows()}
    assert {name: row.captions for name, row in found.items()} == {
        "shard-000/000": ["a cat"],
        "shard-000/001": ["a dog", "an animal"],
        "shard-000/002": [],
    }
    assert found["shard-000/000"].record["url"] == "https://x.org/a"
    assert table.videos == str(tmp_path)
    contents = [bytes_at(row.content_url, table.videos) for row in found.values()]
    assert contents == [b"one", b"second", b"no caption"]
    assert ("#member=" in found["shard-000/000"].content_url) == (suffix != ".tar")
    assert "1 further videos of the same key" in table.findings[0]


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_zips_are_sources_and_stored_members_are_read_by_offset(tmp_path: Path, compression: int) -> None:
    videos = {"chess/ä.mp4": b"1" * 500, "chess/b.mp4": b"2", "c.mp4": b"3", "c.txt": b"a dog"}
    write_zip(tmp_path / "v.zip", videos, compression)
    table = SourceTable(str(tmp_path / "v.zip"))
    assert table.videos is not None
    found = {row.source_id: row for row in table.rows()}
    assert {name: row.captions for name, row in found.items()} == {
        "v/chess/ä": ["chess"],
        "v/chess/b": ["chess"],
        "v/c": ["a dog"],
    }
    for name in ("chess/ä.mp4", "chess/b.mp4", "c.mp4"):
        row = found[f"v/{name[:-4]}"]
        assert bytes_at(row.content_url, table.videos) == videos[name]
        assert ("#offset=" in row.content_url) == (compression == zipfile.ZIP_STORED)


def test_several_archives_are_one_source_by_glob_range_and_folder(tmp_path: Path) -> None:
    for number in range(3):
        write_tar(tmp_path / f"s-{number:03}.tar", {"0.mp4": b"x" * number, "0.txt": b"cat"})
    expected = ["s-000/0", "s-001/0", "s-002/0"]
    assert list(rows(tmp_path)) == expected
    assert list(rows(tmp_path / "s-*.tar")) == expected
    assert list(rows(tmp_path / "s-{001..002}.tar")) == expected[1:]
    with pytest.raises(AnimaticError, match=r"s-003"):
        SourceTable(str(tmp_path / "s-{000..003}.tar"))
    with pytest.raises(AnimaticError, match="no range of names"):
        SourceTable(str(tmp_path / "s-{9..1}.tar"))
    (tmp_path / "a.mp4").write_text("loose")
    with pytest.raises(AnimaticError, match="1 videos and 3 archives: name either by a glob"):
        SourceTable(str(tmp_path))


def test_tables_that_describe_shards_beside_them_are_not_read_as_the_source(tmp_path: Path) -> None:
    for name in ("00000", "00001"):
        write_tar(tmp_path / f"{name}.tar", {f"{name}.mp4": b"1", f"{name}.txt": b"a cat"})
        (tmp_path / f"{name}_stats.json").write_text('{"successes": 1}')
    expected = {f"{name}/{name}": (None, ["a cat"]) for name in ("00000", "00001")}
    assert rows(tmp_path) == expected
    described = pa.table({"url": ["https://x.example/1"], "caption": ["a cat"], "key": ["00000"]})
    for name in ("00000", "00001"):
        pq.write_table(described, tmp_path / f"{name}.parquet")
    assert rows(tmp_path) == expected
    (tmp_path / "films.csv").write_text("videoid,name,contentUrl\n1,a dog,a.mp4\n")
    assert rows(tmp_path) == {"1": (None, ["a dog"])}


def test_archives_behind_urls_are_read_by_ranges(tmp_path: Path) -> None:
    memory = fsspec.filesystem("memory")
    write_tar(tmp_path / "a.tar", SHARD)
    write_zip(tmp_path / "b.zip", {"c.mp4": b"3", "c.txt": b"a dog"}, zipfile.ZIP_DEFLATED)
    for name in ("a.tar", "b.zip"):
        memory.pipe(f"/archives/{name}", (tmp_path / name).read_bytes())
    try:
        table = SourceTable("memory://archives")
        found = {row.source_id: row for row in table.rows()}
        assert list(found) == ["a/000", "a/001", "a/002", "b/c"]
        assert found["b/c"].captions == ["a dog"]
        assert found["b/c"].candidates(table.videos) == ["memory://archives/b.zip#member=c.mp4"]
        assert bytes_at(found["a/001"].content_url, str(tmp_path)) == b"second"
    finally:
        memory.rm("/archives", recursive=True)


def add(tar: tarfile.TarFile, name: str, content: bytes = b"", **fields: Any) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for field, value in fields.items():
        setattr(info, field, value)
    tar.addfile(info, io.BytesIO(content))


def test_hostile_members_of_a_tar_are_rejected_one_by_one(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "h.tar", "w", format=tarfile.PAX_FORMAT) as tar:
        add(tar, "good.mp4", b"good")
        add(tar, "../up.mp4", b"x")
        add(tar, "/etc/root.mp4", b"x")
        add(tar, "a/../../b.mp4", b"x")
        add(tar, "back\\slash.mp4", b"x")
        add(tar, "link.mp4", type=tarfile.SYMTYPE, linkname="/etc/passwd")
        add(tar, "hard.mp4", type=tarfile.LNKTYPE, linkname="good.mp4")
        add(tar, "device.mp4", type=tarfile.CHRTYPE)
        add(tar, "good.mp4", b"again")
        add(tar, "long" * 60 + ".mp4", b"long name")
    table = SourceTable(str(tmp_path / "h.tar"), require_caption=False)
    found = list(table.rows())
    good = {row.source_id: row for row in found if row.problem is None}
    assert list(good) == ["h/good", "h/" + "long" * 60]
    assert bytes_at(good["h/good"].content_url, str(tmp_path)) == b"good"
    assert bytes_at(good["h/" + "long" * 60].content_url, str(tmp_path)) == b"long name"
    details = [row.detail for row in found if row.problem == "malformed_row"]
    assert len(details) == 7
    assert sum("leaves the folder" in detail for detail in details) == 4
    assert sum("a link" in detail for detail in details) == 2
    assert "1 names that occur again" in table.findings[0]


@pytest.mark.parametrize("cut", [1024, 1536, 2000])
def test_a_tar_that_was_cut_off_has_the_rows_before_and_one_that_states_it(tmp_path: Path, cut: int) -> None:
    path = write_tar(tmp_path / "c.tar", {"a.mp4": b"1" * 100, "b.mp4": b"2" * 600})
    path.write_bytes(path.read_bytes()[:cut])
    found = list(SourceTable(str(path), require_caption=False).rows())
    assert found[0].problem is None
    assert found[-1].problem == "malformed_row"
    assert all(row.source_id != "c/b" for row in found)


def test_a_header_in_the_middle_that_is_damaged_does_not_end_the_archive_silently(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "d.tar", {"a.mp4": b"1", "b.mp4": b"2", "c.mp4": b"3"})
    data = bytearray(path.read_bytes())
    data[1024 + 148] ^= 1  # the checksum of the second header
    path.write_bytes(data)
    found = list(SourceTable(str(path), require_caption=False).rows())
    assert [row.problem for row in found] == [None, "malformed_row"]
    assert "damaged after 1 members" in found[1].detail


def test_hostile_members_of_a_zip_are_rejected_one_by_one(tmp_path: Path) -> None:
    path = tmp_path / "h.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("good.mp4", b"good")
        archive.writestr("../up.mp4", b"x")
        link = zipfile.ZipInfo("link.mp4")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr("locked.mp4", b"x")
        archive.writestr("large.mp4", b"x")
        archive.writestr("__MACOSX/._good.mp4", b"x")
    data = bytearray(path.read_bytes())
    entry = data.rfind(b"PK\x01\x02", 0, data.rfind(b"locked.mp4"))
    data[entry + 8] |= 1  # encrypted
    entry = data.rfind(b"PK\x01\x02", 0, data.rfind(b"large.mp4"))
    data[entry + 20 : entry + 28] = b"\xf0\xff\xff\x7f" * 2  # sizes
    path.write_bytes(data)
    found = list(SourceTable(str(path), require_caption=False).rows())
    assert [row.source_id for row in found if row.problem is None] == ["h/good"]
    details = " ".join(row.detail for row in found)
    assert all(word in details for word in ("leaves the folder", "a link", "encrypted", "not in the archive"))


def sized(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = size
    return info.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz"])
@pytest.mark.parametrize("size", [1 << 44, 1 << 62, (1 << 64) + 5, 1 << 80])
def test_absurd_sizes_in_a_tar_cost_what_follows_alone(tmp_path: Path, suffix: str, size: int) -> None:
    good = sized("a.mp4", 0)
    for header in (sized("b.mp4", size), sized("b.txt", size), sized("x" * 200, 0)[:512] + sized("c", size)):
        data = good + header + b"x" * 512
        path = tmp_path / f"s{suffix}"
        path.write_bytes(gzip.compress(data) if suffix == ".tar.gz" else data)
        found = list(SourceTable(str(path), require_caption=False).rows())
        assert [row.source_id for row in found if row.problem is None] == ["s/a"]
        assert found[-1].problem == "malformed_row"


def test_absurd_sizes_and_offsets_in_a_zip_are_rows_or_one_line(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "s.zip", {"a.mp4": b"1", "b.mp4": b"2" * 90}, zipfile.ZIP_DEFLATED)
    data = path.read_bytes()
    entry = data.rfind(b"PK\x01\x02")
    large = bytearray(data)
    large[entry + 24 : entry + 28] = b"\xff" * 4  # in the field of zip64
    extra = b"\x01\x00\x08\x00" + b"\xff" * 8
    large[entry + 30 : entry + 32] = len(extra).to_bytes(2, "little")
    end = large.rfind(b"PK\x05\x06")
    large[end:end] = extra
    end += len(extra)
    length = int.from_bytes(large[end + 12 : end + 16], "little") + len(extra)
    large[end + 12 : end + 16] = length.to_bytes(4, "little")
    path.write_bytes(large)
    rows_found = list(SourceTable(str(path), require_caption=False).rows())
    assert [row.problem for row in rows_found] == [None, "malformed_row"]
    end = data.rfind(b"PK\x05\x06")
    locator = b"PK\x06\x07" + b"\0" * 4 + b"\xff" * 8 + b"\x01\0\0\0"
    path.write_bytes(data[:end] + locator + data[end:])
    with pytest.raises(AnimaticError, match="end of its directory is damaged"):
        SourceTable(str(path), require_caption=False).scan()


def test_random_damage_of_archives_is_rows_or_one_line_of_error(tmp_path: Path) -> None:
    import random

    draw = random.Random(0)
    tar = write_tar(tmp_path / "f.tar", {f"{n}.mp4": b"v" * 40 for n in range(6)}).read_bytes()
    archive = write_zip(tmp_path / "f.zip", {f"{n}.mp4": b"v" * 40 for n in range(6)}).read_bytes()
    for trial in range(120):
        name, data = ("f.tar", bytearray(tar)) if trial % 2 else ("f.zip", bytearray(archive))
        for _ in range(draw.randrange(1, 6)):
            data[draw.randrange(len(data))] = draw.randrange(256)
        if trial % 5 == 0:
            del data[draw.randrange(len(data)) :]
        (tmp_path / name).write_bytes(data)
        try:
            found = list(SourceTable(str(tmp_path / name), require_caption=False).rows())
        except AnimaticError as error:
            assert "\n" not in str(error)
            continue
        assert len(found) >= 1
        for row in found:
            if row.problem is None:
                assert ".." not in row.content_url
                bytes_at(row.content_url, str(tmp_path)) if "#offset" in row.content_url else None


@pytest.mark.parametrize("name", ["empty.tar", "page.tar", "page.zip", "page.tar.gz", "notes.tar"])
def test_what_is_no_archive_or_has_no_video_is_one_line(tmp_path: Path, name: str) -> None:
    if name == "notes.tar":
        write_tar(tmp_path / name, {"a.txt": b"text"})
    else:
        (tmp_path / name).write_bytes(b"" if name == "empty.tar" else b"<html>" * 300)
    with pytest.raises(AnimaticError, match=r"cannot be read|has no video") as caught:
        SourceTable(str(tmp_path / name)).scan()
    assert "\n" not in str(caught.value)


def test_an_archive_that_cannot_be_read_is_one_rejected_row_among_others(tmp_path: Path) -> None:
    write_tar(tmp_path / "a.tar", {"0.mp4": b"x", "0.txt": b"cat"})
    (tmp_path / "b.tar").write_bytes(b"<html>" * 300)
    write_tar(tmp_path / "c.tar", {"notes.txt": b"no video"})
    write_zip(tmp_path / "d.zip", {"0.mp4": b"y", "0.txt": b"dog"})
    found = list(SourceTable(str(tmp_path)).rows())
    assert [row.problem for row in found] == [None, "malformed_row", None]
    assert "b.tar cannot be read" in found[1].detail
