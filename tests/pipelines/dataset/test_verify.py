"""Verification of a dataset: every problem is listed, and nothing else."""

import hashlib
import io
import json
import re
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from core.canonical_json import canonical_json
from core.files import sha256
from core.storage import Folder
from pipelines.dataset import Dataset
from pipelines.dataset.clip_units import commit_clips
from pipelines.dataset.commit import commit_dataset
from pipelines.dataset.samples import Sample
from pipelines.dataset.verify import verify
from tests.support.coded_clips import build_dataset, write_clip
from tests.support.stored_samples import sample


def build(folder: Path, spoil: Callable[[Sample], Sample]) -> Path:
    """A dataset whose second sample was stored as ``spoil`` makes it, with digests that all match."""
    samples = [sample("a"), spoil(sample("b")), sample("c")]
    outcomes = [{"row": n, "source_id": key, "samples": 1} for n, key in enumerate("abc")]
    commit_clips(Folder(folder), 0, samples, outcomes)
    commit_dataset(Folder(folder), {}, 1, 3)
    return folder


def picture(side: int) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (side, side)).save(data, "jpeg")
    return data.getvalue()


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (lambda s, _: replace(s, jpg=picture(20)), "b-000: its jpg has 20x20 pixels, not 96x64"),
        (lambda s, _: replace(s, jpg=s.jpg[:100]), "b-000: its jpg cannot be read"),
        (lambda s, _: replace(s, mp4=s.mp4[:200]), "b-000: its mp4 cannot be read"),
        (lambda s, path: replace(s, mp4=write_clip(path, 7)), "b-000: its mp4 has 7 frames, not 9"),
        (lambda s, _: replace(s, more_jpgs=[b"none"]), r"b-000: its 1\.jpg cannot be read"),
    ],
)
def test_a_sample_that_contradicts_its_json_is_listed(
    tmp_path: Path, spoil: Callable[[Sample, Path], Sample], expected: str
) -> None:
    build(tmp_path / "data", lambda good: spoil(good, tmp_path / "other.mp4"))
    [problem] = verify(tmp_path / "data")
    assert re.search(expected, problem)


def rebuilt(folder: Path, change: Callable[[dict[str, bytes]], dict[str, bytes]]) -> None:
    """Write the tar of a dataset's unit again with other members, and give it a digest that matches."""
    path = folder / "shard-000000.tar"
    with tarfile.open(path) as tar:
        members = {member.name: tar.extractfile(member).read() for member in tar}
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in change(members).items():
            header = tarfile.TarInfo(name)
            header.size = len(data)
            tar.addfile(header, io.BytesIO(data))
    path.write_bytes(content.getvalue())
    manifest = folder / "units" / "unit-000000.json"
    record = json.loads(manifest.read_text())
    record["shard"] |= {"sha256": sha256(path), "bytes": path.stat().st_size}
    manifest.write_bytes(canonical_json(record))
    commit_dataset(Folder(folder), {}, 1, 3)


def test_a_member_that_is_in_no_table_is_listed(tmp_path: Path) -> None:
    folder = build(tmp_path, lambda good: good)
    rebuilt(folder, lambda members: members)
    assert verify(folder) == []
    rebuilt(folder, lambda members: {**members, "d-000.jpg": b"surplus"})
    assert verify(folder) == ["shard-000000.tar: d-000.jpg is in no table"]


def test_a_text_that_is_not_the_caption_is_listed(tmp_path: Path) -> None:
    folder = build(tmp_path, lambda good: good)
    other = "captiom ü of b".encode()  # of equal length: sizes and offsets fit
    rebuilt(folder, lambda members: {**members, "b-000.txt": other})
    assert verify(folder) == ["shard-000000.tar: b-000: its txt is not its caption"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("width", 98),
        ("height", 66),
        ("frames", 8),
        ("fps", 9.0),
        ("duration", 1.0),
        ("source_id", "x"),
        ("condition_frame", 4),
    ],
)
def test_a_json_that_contradicts_the_tables_is_listed(tmp_path: Path, field: str, value: object) -> None:
    folder = build(tmp_path, lambda good: good)

    def changed(members: dict[str, bytes]) -> dict[str, bytes]:
        info = json.loads(members["b-000.json"])
        content = canonical_json({**info, field: value})
        return {**members, "b-000.json": content.ljust(len(members["b-000.json"]))}

    rebuilt(folder, changed)
    assert f"shard-000000.tar: b-000: its json contradicts the tables ({field})" in verify(folder)


def test_decoding_finds_what_demuxing_does_not(tmp_path: Path) -> None:
    def blank(good: Sample) -> Sample:
        start = good.mp4.index(b"mdat") + 4
        return replace(good, mp4=good.mp4[:start] + bytes(300) + good.mp4[start + 300 :])

    build(tmp_path, blank)
    assert verify(tmp_path) == []
    [problem] = verify(tmp_path, deep=True)
    assert "b-000: its mp4" in problem


def test_a_tar_cut_between_members_is_listed(tmp_path: Path) -> None:
    dataset = build_dataset(tmp_path / "data", [8, 9])
    path = tmp_path / "data" / "shard-000000.tar"
    end = dataset.samples.column("json_offset")[1].as_py() - 512
    path.write_bytes(path.read_bytes()[:end])
    problems = verify(tmp_path / "data")
    assert any("clip-0001.json is missing" in problem for problem in problems)
    assert any("size is" in problem for problem in problems)
    assert any("sha256 is" in problem for problem in problems)


def test_an_altered_manifest_does_not_stop_the_rest(tmp_path: Path) -> None:
    build_dataset(tmp_path / "data", [8])
    path = tmp_path / "data" / "units" / "unit-000000.json"
    path.write_bytes(path.read_bytes().replace(b"mp4_offset", b"mp5_offset"))
    [problem] = verify(tmp_path / "data")
    assert problem.startswith("units/unit-000000.json: sha256 is")


def test_unexpected_files_are_listed(tmp_path: Path) -> None:
    build_dataset(tmp_path / "data", [8])
    for name in ("shard-000001.tar", "units/unit-000001.json"):
        (tmp_path / "data" / name).write_bytes(b"{}")
    assert [problem.split(":")[0] for problem in verify(tmp_path / "data")] == [
        "shard-000001.tar",
        "units/unit-000001.json",
    ]


def test_tables_that_contradict_the_units_are_listed(tmp_path: Path) -> None:
    build_dataset(tmp_path / "data", [8, 8])
    other = build_dataset(tmp_path / "other", [8, 9])
    table = (Path(other.url) / "samples.parquet").read_bytes()
    (tmp_path / "data" / "samples.parquet").write_bytes(table)
    path = tmp_path / "data" / "dataset.json"
    info = json.loads(path.read_text())
    info["files"]["samples.parquet"] = hashlib.sha256(table).hexdigest()
    path.write_text(json.dumps(info))
    assert Dataset.open(tmp_path / "data").samples == other.samples
    assert verify(tmp_path / "data") == ["samples.parquet: not the samples of units/unit-000000.json"]


def test_progress_counts_shards(tmp_path: Path) -> None:
    build_dataset(tmp_path / "data", [8])
    seen: list[tuple[int, int]] = []
    assert verify(tmp_path / "data", progress=lambda done, total: seen.append((done, total))) == []
    assert seen == [(1, 1)]
