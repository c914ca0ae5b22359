"""Videos inside archives and tables: whole, or the row is rejected with the true reason."""

import bz2
import gzip
import hashlib
import io
import lzma
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.errors import RejectedError
from pipelines.fetch import Fetched, Fetcher, FetchPolicy
from pipelines.sources import MemberAddress
from tests.support.range_server import RangeServer, serving_ranges

VIDEOS = {f"clips/ä {n}.mp4": np.random.default_rng(n).bytes(70_000 + n) for n in range(4)}
POLICY = FetchPolicy(backoff_s=0.01, timeout_s=5, allow_private=True, attempts=2)


def fetch(into: Path, *locations: str, **settings: object) -> list[Fetched]:
    with Fetcher(POLICY.model_copy(update=settings)) as fetcher:
        waiting = [fetcher.submit([place], into / f"{n}") for n, place in enumerate(locations)]
        return [future.result() for future in waiting]


def rejection(into: Path, location: str, **settings: object) -> str:
    with pytest.raises(RejectedError) as caught:
        fetch(into, location, **settings)
    return str(caught.value)


def tar_of(videos: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, content in videos.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return file.getvalue()


def zip_of(videos: dict[str, bytes], method: int) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in videos.items():
            archive.writestr(name, content)
    return file.getvalue()


def stored_ranges(tar: bytes) -> dict[str, tuple[int, int]]:
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        return {member.name: (member.offset_data, member.size) for member in archive}


ARCHIVES = {
    "a.zip": zip_of(VIDEOS, zipfile.ZIP_DEFLATED),
    "b.zip": zip_of(VIDEOS, zipfile.ZIP_BZIP2),
    "l.zip": zip_of(VIDEOS, zipfile.ZIP_LZMA),
    "a.tar": tar_of(VIDEOS),
    "a.tar.gz": gzip.compress(tar_of(VIDEOS)),
    "a.tar.bz2": bz2.compress(tar_of(VIDEOS)),
    "a.tar.xz": lzma.compress(tar_of(VIDEOS)),
}

WITHOUT_CHECKSUMS = ("a.tar", "t.parquet")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("archives")
    for name, content in ARCHIVES.items():
        (folder / name).write_bytes(content)
        fsspec.filesystem("memory").pipe(f"/members/{name}", content)
    rows = [{"bytes": content, "path": name} for name, content in VIDEOS.items()]
    table = pa.table({"id": list("abcd"), "video": rows, "flat.bytes": list(VIDEOS.values())})
    pq.write_table(table, folder / "t.parquet", row_group_size=2)
    fsspec.filesystem("memory").pipe("/members/t.parquet", (folder / "t.parquet").read_bytes())
    return folder


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch, serving_ranges(folder) as address:
        patch.setenv("NO_PROXY", "127.0.0.1")
        yield address


@pytest.fixture(params=["local", "file", "store", "web"])
def root(request: pytest.FixtureRequest, folder: Path, server: str) -> str:
    roots = {"local": str(folder), "file": f"file://{folder}", "store": "memory://members"}
    return roots.get(request.param, f"{server}/parts")


def test_a_range_of_stored_bytes_is_fetched_as_a_file(root: str, tmp_path: Path) -> None:
    places = [
        str(MemberAddress(f"{root}/a.tar", offset=offset, size=size))
        for offset, size in stored_ranges(ARCHIVES["a.tar"]).values()
    ]
    for fetched, content in zip(fetch(tmp_path, *places), VIDEOS.values(), strict=True):
        assert fetched.path.read_bytes() == content
        assert (fetched.sha256, fetched.size) == (hashlib.sha256(content).hexdigest(), len(content))


@pytest.mark.parametrize("archive", sorted(ARCHIVES))
def test_members_are_fetched_by_name_in_any_order(root: str, tmp_path: Path, archive: str) -> None:
    names = [*VIDEOS, *reversed(VIDEOS)]
    places = [str(MemberAddress(f"{root}/{archive}", member=name)) for name in names]
    for fetched, name in zip(fetch(tmp_path, *places), names, strict=True):
        assert fetched.path.read_bytes() == VIDEOS[name]


@pytest.mark.parametrize("column", ["video.bytes", "flat.bytes"])
def test_cells_of_a_parquet_column_are_fetched_in_any_order(root: str, tmp_path: Path, column: str) -> None:
    rows = [0, 1, 2, 3, 3, 1, 2, 0]
    places = [str(MemberAddress(f"{root}/t.parquet", column=column, row=row)) for row in rows]
    for fetched, row in zip(fetch(tmp_path, *places), rows, strict=True):
        assert fetched.path.read_bytes() == list(VIDEOS.values())[row]


def test_members_in_their_order_take_one_pass_over_an_archive(server: str, tmp_path: Path) -> None:
    RangeServer.asked.clear()
    fetch(tmp_path, *(str(MemberAddress(f"{server}/parts/a.tar.gz", member=name)) for name in VIDEOS))
    assert len(RangeServer.asked) <= 3  # its size, its beginning, its content


def test_only_the_bytes_of_a_range_are_requested(server: str, tmp_path: Path) -> None:
    RangeServer.asked.clear()
    fetch(tmp_path, f"{server}/parts/a.tar#offset=1000&size=500")
    assert RangeServer.asked == [("/parts/a.tar", "bytes=1000-1499")]


def test_a_server_that_sends_whole_files_is_read_from_their_beginning(server: str, tmp_path: Path) -> None:
    (fetched,) = fetch(tmp_path, f"{server}/whole/a.tar#offset=1000&size=500")
    assert fetched.path.read_bytes() == ARCHIVES["a.tar"][1000:1500]


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("whole/a.zip#member=clips/a.mp4", "fetch_refused: the server sends whole files"),
        ("shifted/a.tar#offset=0&size=10", "fetch_refused: bytes 1-10 instead of 0-9"),
        ("unnamed/a.tar#offset=0&size=10", "fetch_refused: status 206 without the part"),
        ("short/a.tar#offset=0&size=10", "fetch_failed: 9 of 10 bytes, 2 attempts"),
        ("parts/a.tar#offset=999999999&size=10", "unreadable_archive: the file ends before byte 1000000009"),
        ("whole/a.tar#offset=290000&size=99999", "unreadable_archive: the file ends before byte 389999"),
    ],
)
def test_a_server_that_sends_another_part_rejects_the_row(
    server: str, tmp_path: Path, place: str, expected: str
) -> None:
    assert rejection(tmp_path, f"{server}/{place}").startswith(expected)


def test_what_an_archive_does_not_have_is_missing(root: str, tmp_path: Path) -> None:
    for place in ("a.zip#member=x", "a.tar.gz#member=x"):
        assert rejection(tmp_path, f"{root}/{place}") == "missing_file: the archive has no member x"
    for place, detail in (("column=x&row=0", "has no column x"), ("column=id&row=9", "has 4 rows")):
        assert detail in rejection(tmp_path, f"{root}/t.parquet#{place}")


@pytest.mark.parametrize("place", ["no.zip#member=x", "no.tar#offset=0&size=9", "no.parquet#column=x&row=0"])
def test_an_archive_that_does_not_exist_is_a_missing_file(folder: Path, tmp_path: Path, place: str) -> None:
    for root in (str(folder), "memory://members"):
        assert rejection(tmp_path, f"{root}/{place}") == "missing_file"


def test_an_archive_whose_name_no_system_can_have_is_a_missing_file(tmp_path: Path) -> None:
    for name in ("x" * 5000, "a\0b"):
        for part in ("member=x", "offset=0&size=9"):
            assert rejection(tmp_path, f"/{name}.zip#{part}") == "missing_file"


def test_members_are_limited_in_size(root: str, tmp_path: Path) -> None:
    name = next(iter(VIDEOS))
    places = [
        MemberAddress(f"{root}/a.zip", member=name),
        MemberAddress(f"{root}/a.tar.gz", member=name),
        MemberAddress(f"{root}/a.tar", offset=0, size=70_000),
        MemberAddress(f"{root}/t.parquet", column="video.bytes", row=0),
    ]
    for place in places:
        assert rejection(tmp_path, str(place), max_bytes=69_999).startswith("too_large")


def damaged(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes(20_000) + content[middle + 20_000 :]


@pytest.mark.parametrize("archive", [*sorted(ARCHIVES), "t.parquet"])
@pytest.mark.parametrize("damage", ["cut", "zeros", "text", "nothing"])
def test_a_damaged_archive_rejects_rows_and_stops_no_job(
    folder: Path, tmp_path: Path, archive: str, damage: str
) -> None:
    content = (folder / archive).read_bytes()
    bad = {
        "cut": content[: len(content) // 2],
        "zeros": damaged(content),
        "text": b"<html>" * 99,
        "nothing": b"",
    }
    (tmp_path / archive).write_bytes(bad[damage])
    rejected = 0
    for n, name in enumerate(VIDEOS):
        address = MemberAddress(str(tmp_path / archive), member=name)
        if archive == "t.parquet":
            address = MemberAddress(str(tmp_path / archive), column="video.bytes", row=n)
        try:
            (fetched,) = fetch(tmp_path, str(address))
        except RejectedError as error:
            assert error.reason == "unreadable_archive", error
            rejected += 1
        else:
            assert archive in WITHOUT_CHECKSUMS or fetched.path.read_bytes() == VIDEOS[name]
    assert rejected or archive in WITHOUT_CHECKSUMS


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_of_members_with_the_same_name_the_first_one_counts(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "d.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.mp4", b"first")
        archive.writestr("a.mp4", b"second")
    with tarfile.open(tmp_path / "d.tar.gz", "w:gz") as tar:
        for content in (b"first", b"second"):
            member = tarfile.TarInfo("a.mp4")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    for name in ("d.zip", "d.tar.gz"):
        (fetched,) = fetch(tmp_path, f"{tmp_path}/{name}#member=a.mp4")
        assert fetched.path.read_bytes() == b"first"


def test_a_member_that_is_a_link_or_encrypted_is_rejected(tmp_path: Path) -> None:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        link = tarfile.TarInfo("a.mp4")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    (tmp_path / "l.tar.gz").write_bytes(file.getvalue())
    assert "is no regular file" in rejection(tmp_path, f"{tmp_path}/l.tar.gz#member=a.mp4")
    encrypted = bytearray(zip_of({"a.mp4": b"x" * 99}, zipfile.ZIP_DEFLATED))
    encrypted[encrypted.find(b"PK\1\2") + 8] |= 1
    (tmp_path / "e.zip").write_bytes(encrypted)
    assert "is encrypted" in rejection(tmp_path, f"{tmp_path}/e.zip#member=a.mp4")


def test_archives_that_expand_without_end_are_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.fetch.members.tars._FREE_BYTES", 1 << 20)
    (tmp_path / "b.tar.gz").write_bytes(gzip.compress(tar_of({"zeros": bytes(1 << 25), "a.mp4": b"x"})))
    assert "expand to more than" in rejection(tmp_path, f"{tmp_path}/b.tar.gz#member=a.mp4")
    (tmp_path / "b.zip").write_bytes(zip_of({"a.mp4": bytes(1 << 25)}, zipfile.ZIP_DEFLATED))
    assert rejection(tmp_path, f"{tmp_path}/b.zip#member=a.mp4", max_bytes=1 << 20).startswith("too_large")


def test_a_header_that_claims_gigabytes_is_not_read(tmp_path: Path) -> None:
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.XHDTYPE, 7 << 30
    (tmp_path / "h.tar.gz").write_bytes(gzip.compress(header.tobuf() + bytes(1 << 20)))
    assert "claims 7516192768 bytes" in rejection(tmp_path, f"{tmp_path}/h.tar.gz#member=a.mp4")


def test_headers_of_headers_without_end_are_damage_which_no_further_attempt_helps(tmp_path: Path) -> None:
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 2
    nested = (header.tobuf() + b"x\0".ljust(tarfile.BLOCKSIZE, b"\0")) * 3000
    (tmp_path / "n.tar.gz").write_bytes(gzip.compress(nested))
    assert rejection(tmp_path, f"{tmp_path}/n.tar.gz#member=a.mp4").startswith("unreadable_archive")


def test_an_address_within_an_address_is_refused_for_archives_too(tmp_path: Path) -> None:
    refused = rejection(tmp_path, "zip://a::http://127.0.0.1/x.zip#member=a")
    assert refused == "fetch_refused: an address within an address"
    assert rejection(tmp_path, "rtsp://x/a.zip#member=a") == "unknown_protocol: rtsp"
