"""The dataset on disk: fixed bytes, whole or absent, and damage is detected."""

import contextlib
import json
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pyarrow.parquet as pq
import pytest
import webdataset
from hypothesis import given, settings
from hypothesis import strategies as st

from core.canonical_json import canonical_json
from core.errors import AnimaticError
from core.storage import Folder
from pipelines.dataset import Dataset
from pipelines.dataset.clip_units import commit_clips, stored_shards
from pipelines.dataset.commit import commit_dataset
from pipelines.dataset.records import MEMBERS, UnitManifest
from pipelines.dataset.units import committed_units, read_unit, unit_name
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
        commit_clips(folder, unit, [sample(key) for key in keys], outcomes)
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


def test_tar_headers_do_not_depend_on_the_machine(tmp_path: Path) -> None:
    build(str(tmp_path))
    with tarfile.open(tmp_path / "shard-000000.tar") as tar:
        for member in tar:
            assert (member.mtime, member.uid, member.gid, member.uname, member.mode) == (0, 0, 0, "", 0o644)


def test_the_digest_depends_on_content_not_location(tmp_path: Path) -> None:
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
    at = data.index(b'"samples":1') + 10 if name.startswith("units") else len(data) // 3
    data[at] ^= 1
    (tmp_path / name).write_bytes(data)
    assert any(problem.startswith(f"{name}: sha256 is ") for problem in verify(str(tmp_path)))
    (tmp_path / name).unlink()
    assert f"{name}: missing" in verify(str(tmp_path))


def test_a_dataset_json_with_another_digest_is_refused(tmp_path: Path) -> None:
    build(str(tmp_path))
    path = tmp_path / "dataset.json"
    path.write_text(path.read_text().replace('"crf": 20', '"crf": 21'))
    with pytest.raises(AnimaticError, match="does not match its own digest"):
        Dataset.open(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not JSON"),
        ("[]", "has format None, not 1"),
        ('{"format": 1}', r"is damaged \(config: Field required\)"),
        ('{"format": 1, "config": {}, "shards": 3}', r"is damaged \(counts: Field required\)"),
    ],
)
def test_a_damaged_dataset_json_is_reported_in_one_line(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "dataset.json").write_text(content)
    with pytest.raises(AnimaticError, match=message):
        Dataset.open(tmp_path)


@pytest.mark.parametrize("mapped_above", [0, 100])
def test_a_table_with_another_digest_is_refused(tmp_path: Path, monkeypatch: Any, mapped_above: int) -> None:
    samples = build(str(tmp_path)).samples
    monkeypatch.setenv("ANIMATIC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("pipelines.dataset.rows.HELD_ROWS", mapped_above)
    changed = samples.set_column(samples.schema.get_field_index("caption"), "caption", samples["key"])
    pq.write_table(changed, tmp_path / "samples.parquet")
    with pytest.raises(AnimaticError, match=r"samples.parquet cannot be read \(it is damaged: its sha256 is"):
        Dataset.open(tmp_path)


def test_a_dataset_with_missing_rows_is_not_committed(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    commit_clips(folder, 0, [sample("a")], [{"row": 0, "source_id": "a", "samples": 1}])
    with pytest.raises(AnimaticError, match="1 rows and 1 samples"):
        commit_dataset(folder, {}, 1, rows=2)
    with pytest.raises(AnimaticError, match="no dataset"):
        Dataset.open(tmp_path)


@pytest.mark.parametrize(
    "numbers", [(1, 0, 2), (0, 2, 1), (1, 2, 3), (0, 0, 1), (0, 1, 1)], ids=lambda numbers: str(numbers)
)
def test_a_dataset_with_rows_out_of_order_is_not_committed(tmp_path: Path, numbers: tuple[int, ...]) -> None:
    folder = Folder(tmp_path)
    for unit, number in enumerate(numbers):
        commit_clips(folder, unit, [sample("a")], [{"row": number, "source_id": "a", "samples": 1}])
    with pytest.raises(AnimaticError, match="run animatic ingest again"):
        commit_dataset(folder, {}, len(numbers), rows=len(numbers))
    assert not (tmp_path / "dataset.json").exists()


def test_a_dataset_with_other_samples_than_its_outcomes_say_is_not_committed(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    commit_clips(folder, 0, [sample("a")], [{"row": 0, "source_id": "a", "samples": 2}])
    with pytest.raises(AnimaticError, match="contradict themselves; ingest it again"):
        commit_dataset(folder, {}, 1, rows=1)
    assert not (tmp_path / "dataset.json").exists()


def test_reading_a_member_that_a_tar_no_longer_has_to_its_end_raises(tmp_path: Path) -> None:
    dataset = build(str(tmp_path))
    tar = tmp_path / "shard-000002.tar"
    whole = dataset.read(2, "txt")
    end = dataset.samples["txt_offset"][2].as_py() + len(whole)
    tar.write_bytes(tar.read_bytes()[: end - 1])
    with pytest.raises(OSError, match=r"shard-000002\.tar ends before sample 2's txt"):
        dataset.read(2, "txt")
    assert dataset.read(2, "jpg") == sample("c").jpg
    tar.write_bytes(b"")
    with pytest.raises(OSError, match="ends before sample 2's jpg"):
        dataset.read(2, "jpg")


TEXTS = st.text(max_size=30)
ROWS = st.lists(
    st.one_of(
        st.fixed_dictionaries({"source_id": TEXTS, "samples": st.just(1)}),
        st.fixed_dictionaries(
            {
                "source_id": TEXTS,
                "samples": st.just(0),
                "reason": st.sampled_from(["corrupt", "too_short"]),
                "detail": TEXTS,
                "record": st.dictionaries(TEXTS, TEXTS, max_size=3),
            }
        ),
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=25)
@given(ROWS, st.integers(1, 3))
def test_every_row_of_the_source_is_read_back_from_a_dataset(rows: list[dict[str, Any]], size: int) -> None:
    outcomes = [{"row": number, **row} for number, row in enumerate(rows)]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Folder(scratch)
        for unit, start in enumerate(range(0, len(outcomes), size)):
            part = outcomes[start : start + size]
            good = [sample(f"s{row['row']}") for row in part if row["samples"]]
            written = commit_clips(folder, unit, good, part)
            assert read_unit(folder, unit, UnitManifest) == written
        commit_dataset(folder, {}, -(-len(outcomes) // size), len(outcomes))
        dataset = Dataset.open(scratch)
        rejects = dataset.rejects.to_pylist()
    accepted = [row["row"] for row in outcomes if row["samples"]]
    assert dataset.samples["key"].to_pylist() == [f"s{number}-000" for number in accepted]
    assert len(accepted) + len(rejects) == len(outcomes)
    assert [{**row, "samples": 0, "record": json.loads(row["record"])} for row in rejects] == [
        row for row in outcomes if not row["samples"]
    ]


def test_a_unit_that_failed_midway_does_not_exist(tmp_path: Path) -> None:
    def failing() -> object:
        yield sample("a")
        raise OSError("disk full")

    folder = Folder(tmp_path)
    with pytest.raises(OSError, match="disk full"):
        commit_clips(folder, 0, failing(), [])  # type: ignore[arg-type]
    assert committed_units(folder) == set()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_an_equal_manifest_stays_while_its_tar_is_replaced_and_another_does_not(
    tmp_path: Path, monkeypatch
) -> None:
    folder, removed = Folder(tmp_path), []
    monkeypatch.setattr(Folder, "remove", lambda _, name: removed.append(name))
    outcomes = [{"row": 0, "source_id": "a", "samples": 1}]
    for _ in range(2):
        commit_clips(folder, 0, [sample("a")], outcomes)
    assert removed == []
    commit_clips(folder, 0, [sample("b")], outcomes)
    assert removed == [unit_name(0)]


ROWS_OF = {"rows": 1, "sha256": "ab", "settings": "cd"}


@pytest.mark.parametrize(
    ("expected", "message"),
    [
        ([ROWS_OF, ROWS_OF], None),
        ([ROWS_OF, ROWS_OF | {"sha256": "ef"}], "unit-000001.json has other rows or settings"),
        ([ROWS_OF | {"settings": "ef"}, ROWS_OF], "unit-000000.json has other rows or settings"),
        ([ROWS_OF], "unit-000001.json has other rows or settings"),
        (None, None),
    ],
)
def test_units_made_from_other_rows_or_settings_are_not_committed(
    tmp_path: Path, expected: Any, message: str | None
) -> None:
    for unit, key in enumerate("ab"):
        commit_clips(
            Folder(tmp_path), unit, [sample(key)], [{"row": unit, "source_id": key, "samples": 1}], ROWS_OF
        )
    with contextlib.nullcontext() if message is None else pytest.raises(AnimaticError, match=message):
        commit_dataset(Folder(tmp_path), {"crf": 20}, 2, 2, expected)
    assert (tmp_path / "dataset.json").exists() == (message is None)


def test_tars_are_found_by_number_with_a_manifest_or_without(tmp_path: Path) -> None:
    commit_clips(Folder(tmp_path), 3, [sample("a")], [{"row": 0, "source_id": "a", "samples": 1}])
    for name in ("shard-1000000.tar", "shard-12.tar", "shard-000004.tar.part", "latents-000005.tar"):
        (tmp_path / name).write_bytes(b"")
    assert stored_shards(Folder(tmp_path)) == {3, 1_000_000}


def test_a_dataset_in_an_object_store_equals_a_local_one(tmp_path: Path) -> None:
    url = "memory://bucket/data"
    try:
        stored, local = build(url), build(str(tmp_path))
        assert stored.digest == local.digest
        assert stored.read(1, "mp4") == local.read(1, "mp4")
        assert verify(url) == []
    finally:
        fsspec.filesystem("memory").rm("/bucket", recursive=True)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda record: record.pop("shard"), r"shard: Field required"),
        (
            lambda record: record["shard"].update(bytes="many"),
            r"shard\.bytes: Input should be a valid integer",
        ),
        (lambda record: record["rows"][1].pop("samples"), r"rows\.1\.samples: Field required"),
    ],
)
def test_a_damaged_manifest_is_reported_with_its_first_wrong_field(
    tmp_path: Path, spoil: Callable[[dict[str, Any]], object], message: str
) -> None:
    build(str(tmp_path))
    path = tmp_path / unit_name(0)
    record = json.loads(path.read_text())
    spoil(record)
    path.write_text(json.dumps(record))
    with pytest.raises(AnimaticError, match=rf"unit-000000.json is damaged \({message}.*\); delete it"):
        commit_dataset(Folder(tmp_path), {}, 3, 6)


def test_a_manifest_keeps_the_fields_of_a_later_version(tmp_path: Path) -> None:
    build(str(tmp_path))
    path = tmp_path / unit_name(0)
    path.write_bytes(canonical_json({**json.loads(path.read_text()), "later": 1}))
    commit_dataset(Folder(tmp_path), {}, 3, 6)
    assert verify(tmp_path) == []
