"""A video is removed from a dataset, its scores and its latents, and nothing else changes by a byte."""

import json
import shutil
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core.errors import AnimaticError
from core.lock import exclusive_lock
from core.storage import Folder
from pipelines.dataset import Dataset
from pipelines.dataset.clip_units import commit_clips
from pipelines.dataset.commit import commit_dataset
from pipelines.dataset.latents import Latents
from pipelines.dataset.records import RowOutcome
from pipelines.dataset.takedowns import hash_of_id
from pipelines.dataset.verify import verify
from pipelines.dataset.verify_latents import verify_latents
from pipelines.encode import encode
from pipelines.score import ScoreConfig, score
from pipelines.takedown import plan_takedown, take_down
from tests.support.coded_clips import build_dataset
from tests.support.columns import values_of
from tests.support.dataset_files import contents
from tests.support.stored_samples import sample
from tests.support.takedowns import DATE, REASON, encoding, make_world, remove, scoring


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_world(tmp_path_factory.mktemp("whole"), sizes=[2, 2, 2])


@pytest.fixture
def world(whole: Path, tmp_path: Path) -> Path:
    shutil.copytree(whole, tmp_path / "world")
    return tmp_path / "world"


def changed(before: dict[str, bytes], after: dict[str, bytes]) -> set[str]:
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}


def members(tar: Path) -> dict[str, bytes]:
    with tarfile.open(tar) as file:
        return {member.name: file.extractfile(member).read() for member in file}


def test_only_the_shards_with_the_video_and_the_records_change(world: Path) -> None:
    before, digest = contents(world), Dataset.open(world / "data").digest
    stamps = {path: path.stat().st_mtime_ns for path in world.rglob("*.tar")}
    samples = members(world / "data" / "shard-000001.tar")
    result = remove(world, "3")
    latents = {f"{at}/{name}" for at in ("latents", "data/latents") for name in LATENT_FILES}
    assert changed(before, contents(world)) == {f"data/{name}" for name in DATA_FILES} | latents
    touched = {path.name for path, stamp in stamps.items() if path.stat().st_mtime_ns != stamp}
    assert touched == {"shard-000001.tar", "latents-000001.tar"}
    assert members(world / "data" / "shard-000001.tar") == {
        name: content for name, content in samples.items() if not name.startswith("clip-0003.")
    }
    assert result.digest == Dataset.open(world / "data").digest != digest
    assert verify(world / "data", deep=True) == []
    assert verify_latents(world / "latents") == verify_latents(world / "data" / "latents") == []


DATA_FILES = (
    "shard-000001.tar",
    "units/unit-000001.json",
    "columns/clip_similarity/unit-000001.json",
    "clip_similarity.parquet",
    "samples.parquet",
    "rejects.parquet",
    "dataset.json",
    "takedowns.json",
    *(f"facts/unit-00000{unit}.json" for unit in range(3)),  # they were not there
    "card.json",
    "README.md",
)
LATENT_FILES = ("latents-000001.tar", "units/unit-000001.json", "latents.parquet", "latents.json")


def test_latents_and_scores_are_those_that_the_smaller_dataset_would_get(world: Path, tmp_path: Path) -> None:
    remove(world, "0", "3")
    data = Dataset.open(world / "data")
    kept = values_of(data)
    assert len(kept) == 4 and Latents.open(world / "latents", data).still(3).shape[0] == 1
    found = contents(world)
    for name in [name for name in found if "similarity" in name]:
        (world / name).unlink()
    score(scoring(world / "data"))
    np.testing.assert_array_equal(values_of(data), kept)
    encode(encoding(world / "data", tmp_path / "anew"))
    assert contents(tmp_path / "anew") == contents(world / "latents") == contents(world / "data" / "latents")
    assert changed(found, contents(world)) == set()


def test_columns_of_scores_follow(world: Path) -> None:
    data = Dataset.open(world / "data")
    config = ScoreConfig(dataset=data.url, metrics=("flow", "blur"), workers=0)
    score(config)
    before = values_of(data, "flow")
    remove(world, "0", "3")
    after = Dataset.open(world / "data")
    assert verify(world / "data") == []
    np.testing.assert_array_equal(values_of(after, "flow"), before[[1, 2, 4, 5]])
    assert score(config).made_units == 0
    (world / "data/columns/flow.parquet").unlink()
    assert score(config).made_units == 0
    np.testing.assert_array_equal(values_of(after, "flow"), before[[1, 2, 4, 5]])


def test_nothing_that_names_the_video_is_left(world: Path) -> None:
    remove(world, "3")
    for name, content in contents(world).items():
        assert b"clip-0003" not in content and b"caption 3" not in content, name
    assert "clip-0003" not in Dataset.open(world / "data").samples["key"].to_pylist()
    (row,) = Dataset.open(world / "data").rejects.to_pylist()
    assert row == {
        "row": 3,
        "source_id": "",
        "reason": "taken_down",
        "detail": f"sha256 of its id: {hash_of_id('3')}",
        "record": "{}",
    }


def test_the_history_states_what_was_removed_when_and_why(world: Path) -> None:
    data = world / "data"
    first = Dataset.open(data)
    remove(world, "3", "5")
    second = Dataset.open(data)
    assert second.info["counts"]["reasons"] == {"taken_down": 2}
    assert second.info["history"] == [
        {
            "date": DATE,
            "reason": REASON,
            "digest": first.digest,
            "samples": 2,
            "rows": 2,
            "shards": [{"name": s["name"], "sha256": s["sha256"]} for s in first.info["shards"][1:]],
            "source_ids": sorted(map(hash_of_id, ["3", "5"])),
        }
    ]
    remove(world, "0")
    third = Dataset.open(data)
    assert [entry["digest"] for entry in third.info["history"]] == [first.digest, second.digest]
    assert verify(data) == []


def test_a_plan_writes_nothing_and_names_what_would_change(world: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in world.rglob("*")}
    plan = plan_takedown(str(world / "data"), ["3", "missing"], [str(world / "latents")])
    assert {path: path.stat().st_mtime_ns for path in world.rglob("*")} == before
    (unit,) = plan.units
    assert (unit.shard, unit.keys, unit.rows) == ("shard-000001.tar", ("clip-0003",), 1)
    assert (plan.found, plan.absent, plan.already, plan.samples) == (("3",), ("missing",), (), 1)
    assert [each.shards for each in plan.latents] == [("latents-000001.tar",)] * 2
    remove(world, "3")
    plan = plan_takedown(str(world / "data"), ["3"])
    assert (plan.found, plan.already, plan.units) == ((), ("3",), ())


def test_a_second_call_changes_nothing(world: Path) -> None:
    remove(world, "3")
    before = {path: path.stat().st_mtime_ns for path in world.rglob("*") if path.is_file()}
    remove(world, "3")
    assert {p: p.stat().st_mtime_ns for p in before if p.name != ".lock"} == {
        p: stamp for p, stamp in before.items() if p.name != ".lock"
    }


def test_a_dataset_without_any_clip_left_is_a_dataset(world: Path) -> None:
    result = remove(world, *map(str, range(6)))
    assert result.digest == Dataset.open(world / "data").digest and not result.incomplete_latents
    assert verify(str(world / "data"), deep=True) == []


def test_latents_that_are_named_later_follow_then(world: Path) -> None:
    remove(world, "3", latents=False)
    remove(world, "4", latents=False)
    with pytest.raises(AnimaticError, match="bring them up to date"):
        Latents.open(world / "latents", Dataset.open(world / "data"))
    remove(world, "3")
    assert contents(world / "latents") == contents(world / "data" / "latents")
    assert verify_latents(world / "latents") == []


def test_latents_of_another_dataset_are_refused(world: Path, tmp_path: Path) -> None:
    other = build_dataset(tmp_path / "other", [9])
    with pytest.raises(AnimaticError, match=r"latents are not of .*other"):
        take_down(other.url, ["0"], latents=[str(world / "latents")], date=DATE)
    assert verify(other.url) == [] and not (tmp_path / "other" / "takedowns.json").exists()


def test_latents_of_a_tar_in_another_state_are_deleted_and_encoded_again(world: Path) -> None:
    manifest = world / "latents" / "units" / "unit-000001.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"source": "f" * 64}))
    result = remove(world, "3")
    assert result.incomplete_latents == (str(world / "latents"),)
    assert not (world / "latents" / "latents-000001.tar").exists()
    encode(encoding(world / "data", world / "latents"))
    assert contents(world / "latents") == contents(world / "data" / "latents")


def test_a_reader_of_the_old_state_gets_an_error_and_never_another_sample(world: Path) -> None:
    old = Dataset.open(world / "data")
    expected = [old.read(row, "txt") for row in range(6)]
    remove(world, "2")
    for row in range(6):
        if row in (2, 3):
            with pytest.raises((AnimaticError, OSError), match=r"shard-000001\.tar"):
                old.read(row, "txt")
        else:
            assert old.read(row, "txt") == expected[row]


def reject(row: int, source_id: str, reason: str) -> RowOutcome:
    record = {"videoid": source_id, "name": "a private caption", "contentUrl": "https://x.example/v.mp4"}
    return {
        "row": row,
        "source_id": source_id,
        "samples": 0,
        "reason": reason,
        "detail": "seen at https://x.example",
        "record": record,
    }


def test_rejected_rows_of_the_video_lose_their_content_and_no_tar_changes(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "data")
    rejected = [reject(1, "b", "corrupt"), reject(2, "c", "corrupt")]
    commit_clips(folder, 0, [sample("a")], [{"row": 0, "source_id": "a", "samples": 1}, *rejected])
    commit_dataset(folder, {}, units=1, rows=3)
    tar, digest = tmp_path / "data" / "shard-000000.tar", Dataset.open(folder.url).digest
    before = (tar.read_bytes(), tar.stat().st_mtime_ns)
    result = take_down(folder.url, ["b"], date=DATE)
    assert (result.plan.samples, result.plan.rows, result.digest) == (0, 1, digest)
    assert (tar.read_bytes(), tar.stat().st_mtime_ns) == before
    rejects = Dataset.open(folder.url).rejects.to_pylist()
    assert [row["source_id"] for row in rejects] == ["", "c"]
    assert "private" not in rejects[0]["record"] and "example" not in rejects[0]["detail"]
    assert verify(folder.url) == []


def test_clips_that_look_like_removed_ones_are_named_and_stay(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "data")
    hashes = {"a": "00" * 32, "b": "00" * 31 + "01", "c": "00" * 31 + "03", "d": "ff" * 32}
    samples = [sample(name) for name in hashes]
    samples = [replace(each, info={**each.info, "phash": hashes[each.info["source_id"]]}) for each in samples]
    outcomes = [{"row": n, "source_id": name, "samples": 1} for n, name in enumerate(hashes)]
    commit_clips(folder, 0, samples, outcomes)
    commit_dataset(folder, {"filters": {"duplicate_distance": 4}}, units=1, rows=4)
    assert plan_takedown(folder.url, ["a"]).look_alikes == ("b-000", "c-000")
    assert plan_takedown(folder.url, ["c"]).look_alikes == ("a-000",)
    take_down(folder.url, ["a"], date=DATE)
    # Without the first one, the next is the original.
    found = [(row["key"], row["duplicate_of"]) for row in Dataset.open(folder.url).duplicates.to_pylist()]
    assert found == [("c-000", "b-000")]


def test_another_job_that_writes_to_the_dataset_or_latents_keeps_it_out(world: Path) -> None:
    for folder in ("data", "latents"):
        with exclusive_lock(Folder(world / folder), "encode"), pytest.raises(AnimaticError, match="encode"):
            remove(world, "3")
        assert not (world / "data" / "takedowns.json").exists()


def test_tars_that_killed_jobs_left_without_a_manifest_are_deleted(world: Path) -> None:
    for folder in ("data", "latents"):
        (world / folder / "units" / "unit-000001.json").unlink()
    (world / "data" / "dataset.json").unlink()
    (world / "data" / "ingest.json").write_text("{}")
    (world / "latents" / "latents.json").unlink()
    assert remove(world, "3").digest is None  # a row that the ingest has yet to finish
    left = {str(path.relative_to(world)) for path in world.rglob("*-00000?.tar")}
    assert left >= {"data/shard-000000.tar", "data/shard-000002.tar", "latents/latents-000000.tar"}
    assert not left & {"data/shard-000001.tar", "latents/latents-000001.tar"}


def test_an_index_of_images_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    build_dataset(folder, [8])
    record = json.loads((folder / "dataset.json").read_text())
    from pipelines.dataset.dataset_record import write_dataset_record

    write_dataset_record(
        Folder(folder), {"kind": "images"}, record["counts"], record["shards"], record["files"]
    )
    with pytest.raises(AnimaticError, match=r"remove the images from the tars.*index-images"):
        plan_takedown(str(folder), ["0"])


def test_a_unit_with_a_video_that_came_back_is_refused(world: Path) -> None:
    data = world / "data"
    manifest = (data / "units" / "unit-000001.json").read_bytes()
    tar = (data / "shard-000001.tar").read_bytes()
    remove(world, "3", latents=False)
    (data / "units" / "unit-000001.json").write_bytes(manifest)
    (data / "shard-000001.tar").write_bytes(tar)
    with pytest.raises(AnimaticError, match=r"unit-000001\.json has a video that was taken down"):
        commit_dataset(Folder(data), {"test": "data"}, units=3, rows=6)


def test_verify_notices_a_record_of_takedowns_that_is_lost(world: Path) -> None:
    remove(world, "3", latents=False)
    (world / "data" / "takedowns.json").unlink()
    assert verify(world / "data") == ["takedowns.json: its takedowns are not the history of dataset.json"]


def test_a_dataset_that_lost_a_unit_is_left_to_ingest(world: Path) -> None:
    (lost,) = (world / "data" / "units").glob("*1.json")
    lost.unlink()
    result = remove(world, "0", latents=False)
    assert result.digest is None
    assert not (world / "data" / "dataset.json").exists()
