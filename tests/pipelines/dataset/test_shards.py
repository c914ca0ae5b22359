"""The dataset on disk: fixed bytes, whole or absent, and honest about damage."""

import json
import tarfile
from pathlib import Path
from typing import Any

import fsspec
import pyarrow.parquet as pq
import pytest
import webdataset

from core.errors import AnimaticError
from core.storage import Folder
from pipelines.dataset import Dataset
from pipelines.dataset.commit import commit_dataset
from pipelines.dataset.shard_writer import MEMBERS
from pipelines.dataset.units import commit_unit, committed_units, unit_name
from pipelines.dataset.verify import verify
from tests.support.stored_samples import sample


def build(url: str, units: tuple[tuple[str, ...], ...] = (("a", "b"), (), ("c",))) -> Dataset:
    folder, row = Folder(url), 0
    for unit, keys in enumerate(units):
        outcomes: list[dict[str, object]] = []
        for key in keys:
            outcomes.append({"row": row, "source_id": key, "samples": 1})
            row += 1
        rejected = {"source_id": "r", "samples": 0, "reason": "corrupt", "detail": "", "record": {"n": "1"}}
        outcomes.append({"row": row, **rejected})
        row += 1
        commit_unit(folder, unit, [sample(key) for key in keys], outcomes)
    commit_dataset(folder, {"crf": 20}, len(units), row)
    return Dataset.open(url)


def test_every_member_is_found_by_its_offset(tmp_path: Path) -> None:
    dataset = build(str(tmp_path / "d"))
    assert len(dataset) == 3
    for row, key in enumerate("abc"):
        for member in MEMBERS:
            assert dataset.read(row, member) == sample(key).member(member)
    assert json.loads(dataset.read(2, "json"))["scores"]["motion"] == 1.5
    assert dataset.samples.column("shard").to_pylist()[-1] == "shard-000002.tar"
    assert dataset.info["counts"] == {
        "rows": 6,
        "samples": 3,
        "rejected_rows": 3,
        "reasons": {"corrupt": 3},
        "dropped_clips": {},
    }
    assert dataset.rejects.column("row").to_pylist() == [2, 3, 5]
    assert dataset.rejects.column("record").to_pylist() == ['{"n":"1"}'] * 3


def test_stock_webdataset_reads_the_shards(tmp_path: Path) -> None:
    build(str(tmp_path))
    found = list(webdataset.WebDataset(str(tmp_path / "shard-{000000..000002}.tar"), shardshuffle=False))
    assert [entry["__key__"] for entry in found] == ["a-000", "b-000", "c-000"]
    for entry, key in zip(found, "abc", strict=True):
        assert {member: entry[member] for member in MEMBERS} == {m: sample(key).member(m) for m in MEMBERS}


def test_tar_headers_tell_nothing_about_the_machine(tmp_path: Path) -> None:
    build(str(tmp_path))
    with tarfile.open(tmp_path / "shard-000000.tar") as tar:
        for member in tar:
            assert (member.mtime, member.uid, member.gid, member.uname, member.mode) == (0, 0, 0, "", 0o644)


def test_the_digest_is_of_content_not_place(tmp_path: Path) -> None:
    here, there = build(str(tmp_path / "here")), build(str(tmp_path / "there"))
    other = build(str(tmp_path / "other"), (("a", "b"), (), ("d",)))
    assert here.digest == there.digest != other.digest


@pytest.mark.parametrize(
    "name", ["shard-000000.tar", "samples.parquet", "rejects.parquet", "units/unit-000002.json"]
)
def test_verify_finds_every_altered_file(tmp_path: Path, name: str) -> None:
    build(str(tmp_path))
    assert verify(str(tmp_path)) == []
    data = bytearray((tmp_path / name).read_bytes())
    place = data.index(b'"samples":1') + 10 if name.startswith("units") else len(data) // 3
    data[place] ^= 1
    (tmp_path / name).write_bytes(data)
    assert len(verify(str(tmp_path))) >= 1
    (tmp_path / name).unlink()
    assert len(verify(str(tmp_path))) >= 1


def test_an_altered_dataset_json_is_refused(tmp_path: Path) -> None:
    build(str(tmp_path))
    path = tmp_path / "dataset.json"
    path.write_text(path.read_text().replace('"crf": 20', '"crf": 21'))
    with pytest.raises(AnimaticError, match="altered"):
        Dataset.open(tmp_path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[]", "is of format None"),
        ('{"format": 1}', "was altered"),
        ('{"format": 1, "config": 3, "shards": 3}', "was altered"),
    ],
)
def test_a_dataset_json_that_tells_nothing_is_refused(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "dataset.json").write_text(content)
    with pytest.raises(AnimaticError, match=said):
        Dataset.open(tmp_path)


@pytest.mark.parametrize("mapped_above", [0, 100])
def test_a_table_of_other_bytes_is_refused(tmp_path: Path, monkeypatch: Any, mapped_above: int) -> None:
    samples = build(str(tmp_path)).samples
    monkeypatch.setenv("ANIMATIC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("pipelines.dataset.dataset.MAPPED_ROWS", mapped_above)
    changed = samples.set_column(samples.schema.get_field_index("caption"), "caption", samples["key"])
    pq.write_table(changed, tmp_path / "samples.parquet")
    with pytest.raises(AnimaticError, match=r"samples.parquet cannot be read \(it is damaged: its sha256 is"):
        Dataset.open(tmp_path)


def test_no_dataset_comes_of_rows_unaccounted_for(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    commit_unit(folder, 0, [sample("a")], [{"row": 0, "source_id": "a", "samples": 1}])
    with pytest.raises(AnimaticError, match="1 rows and 1 samples"):
        commit_dataset(folder, {}, 1, rows=2)
    with pytest.raises(AnimaticError, match="no dataset"):
        Dataset.open(tmp_path)


def test_a_unit_that_failed_midway_does_not_exist(tmp_path: Path) -> None:
    def failing() -> object:
        yield sample("a")
        raise OSError("disk full")

    folder = Folder(tmp_path)
    with pytest.raises(OSError, match="disk full"):
        commit_unit(folder, 0, failing(), [])  # type: ignore[arg-type]
    assert committed_units(folder) == set()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_unit_made_twice_is_there_all_along_and_one_made_otherwise_is_not(
    tmp_path: Path, monkeypatch
) -> None:
    folder, removed = Folder(tmp_path), []
    monkeypatch.setattr(Folder, "remove", lambda _, name: removed.append(name))
    outcomes = [{"row": 0, "source_id": "a", "samples": 1}]
    for _ in range(2):
        commit_unit(folder, 0, [sample("a")], outcomes)
    assert removed == []
    commit_unit(folder, 0, [sample("b")], outcomes)
    assert removed == [unit_name(0)]


def test_a_dataset_lives_in_an_object_store_as_well(tmp_path: Path) -> None:
    url = "memory://bucket/data"
    try:
        stored, local = build(url), build(str(tmp_path))
        assert stored.digest == local.digest
        assert stored.read(1, "mp4") == local.read(1, "mp4")
        assert verify(url) == []
    finally:
        fsspec.filesystem("memory").rm("/bucket", recursive=True)
