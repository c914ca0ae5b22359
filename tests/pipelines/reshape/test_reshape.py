"""Datasets made of other datasets: every sample unchanged, equal bytes for equal inputs, nothing lost."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import fsspec
import pyarrow as pa
import pytest

from core.errors import AnimaticError
from core.storage import Folder
from pipelines.card import read_card
from pipelines.dataset import Dataset
from pipelines.dataset.clip_units import commit_clips
from pipelines.dataset.columns import read_column, stored_columns, write_column
from pipelines.dataset.commit import commit_dataset
from pipelines.dataset.made_from import made_from
from pipelines.dataset.records import RowOutcome
from pipelines.dataset.takedowns import hash_of_id
from pipelines.dataset.verify import verify
from pipelines.loader import Selection, passing_clips
from pipelines.reshape import Conditions, Execution, ShardSize, merge, parse_part, reshard, split, subset
from pipelines.takedown import take_down
from tests.support.coded_clips import HEIGHT, WIDTH
from tests.support.dataset_files import contents
from tests.support.stored_samples import sample

REJECTED = "missing_file"
Build = Callable[..., Dataset]


@pytest.fixture
def build(tmp_path: Path) -> Build:
    """Makes a dataset of units, each a list of rows: "a" has one sample, "a*3" three, "-a" is rejected."""

    def make(name: str, units: list[list[str]], config: dict | None = None) -> Dataset:
        row = 0
        for unit, ids in enumerate(units):
            samples, outcomes = [], list[RowOutcome]()
            for text in ids:
                source_id, _, count = text.strip("-").partition("*")
                number = 0 if text.startswith("-") else int(count or 1)
                for index in range(number):
                    stored = sample(source_id)
                    key = f"{source_id}-{index:03d}"
                    stored.info["record"] = {"name": name if source_id == "differs" else "same"}
                    samples.append(
                        type(stored)(key, stored.jpg, stored.mp4, f"{source_id} {index}", stored.info)
                    )
                outcome: RowOutcome = {"row": row, "source_id": source_id, "samples": number}
                if not number:
                    outcome |= {"reason": REJECTED, "detail": "", "record": {"videoid": source_id}}
                outcomes.append(outcome)
                row += 1
            commit_clips(Folder(tmp_path / name), unit, samples, outcomes)
        commit_dataset(Folder(tmp_path / name), config or {"seed": 1}, len(units), row)
        return Dataset.open(tmp_path / name)

    return make


def members(dataset: Dataset) -> dict[str, list[bytes]]:
    """The members of every sample by key."""
    return {
        key: [dataset.read(row, member) for member in ("jpg", "json", "mp4", "txt")]
        for row, key in enumerate(dataset.samples["key"].to_pylist())
    }


def intact(url: str | Path) -> Dataset:
    assert verify(url) == []
    return Dataset.open(url)


def test_a_merged_dataset_has_every_sample_and_row_of_its_sources_once(build: Build, tmp_path: Path) -> None:
    a = build("a", [["a", "b*2", "-c"], ["d"]])
    b = build("b", [["e", "-f"], ["a", "g"]])
    report = merge(f"{tmp_path}/out", [a.url, b.url])
    out = intact(report.dataset)
    assert members(out) == members(b) | members(a)
    assert out.samples["key"].to_pylist() == ["a-000", "b-000", "b-001", "d-000", "e-000", "g-000"]
    assert [row["source_id"] for row in out.rejects.to_pylist()] == ["c", "f"]
    assert [row["row"] for row in out.rejects.to_pylist()] == [2, 5]
    assert out.info["counts"]["rows"] == report.rows == 7  # the second row of "a" is the first again
    assert report.left_out == {"identical": 1}
    origin = made_from(out.info)
    assert origin is not None and origin["operation"] == "merge"
    assert [source["digest"] for source in origin["sources"]] == [a.digest, b.digest]
    assert origin["left_out"] == {"samples": {"identical": 1}, "rows": 1}


def test_equal_inputs_give_equal_bytes_wherever_they_are(build: Build, tmp_path: Path) -> None:
    a, b = build("a", [["a", "b"]]), build("b", [["c"]])
    merge(f"{tmp_path}/one", [a.url, b.url])
    shutil.copytree(tmp_path / "a", tmp_path / "moved" / "a")
    shutil.copytree(tmp_path / "b", tmp_path / "moved" / "b")
    merge(f"{tmp_path}/moved/two", [f"{tmp_path}/moved/a", f"{tmp_path}/moved/b"])
    assert contents(tmp_path / "one") == contents(tmp_path / "moved" / "two")
    other = merge(f"{tmp_path}/three", [b.url, a.url])
    assert other.digest != Dataset.open(tmp_path / "one").digest


def test_a_merge_that_is_finished_does_nothing_and_another_is_refused(build: Build, tmp_path: Path) -> None:
    a, b = build("a", [["a"]]), build("b", [["c"]])
    first = merge(f"{tmp_path}/out", [a.url, b.url])
    before = contents(tmp_path / "out")
    again = merge(f"{tmp_path}/out", [a.url, b.url])
    assert (first.made_units, again.made_units, again.skipped_units) == (2, 0, 2)
    assert contents(tmp_path / "out") == before
    with pytest.raises(AnimaticError, match="was made otherwise"):
        merge(f"{tmp_path}/out", [b.url, a.url])
    with pytest.raises(AnimaticError, match="choose a new output folder"):
        merge(a.url, [a.url, b.url])


class Stopped(Exception):
    """As a kill."""


@pytest.mark.parametrize("after", [0, 1, 2, 3])
def test_stopped_at_any_unit_it_continues_with_the_same_bytes(
    build: Build, tmp_path: Path, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = build("a", [["a", "b*2"], ["c", "-d"], ["e", "f"]])
    size = ShardSize(rows=2)
    reshard(source.url, f"{tmp_path}/whole", Execution(size))
    done = iter(range(100))

    def stop(samples: int, total: int) -> None:
        if next(done) == after:
            raise Stopped

    with pytest.raises(Stopped):
        reshard(source.url, f"{tmp_path}/out", Execution(size, progress=stop))
    if after < 3:
        with pytest.raises(AnimaticError, match="run the same animatic dataset command again"):
            Dataset.open(tmp_path / "out")
    report = reshard(source.url, f"{tmp_path}/out", Execution(size))
    assert report.skipped_units == after
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_a_unit_that_another_job_left_is_made_again(build: Build, tmp_path: Path) -> None:
    source = build("a", [["a", "b"], ["c", "d"]])
    for name, rows in (("two", 2), ("three", 3)):
        reshard(source.url, f"{tmp_path}/{name}", Execution(ShardSize(rows=rows)))
    expected = contents(tmp_path / "two")
    (tmp_path / "two" / "dataset.json").unlink()
    for name in ("shard-000000.tar", "units/unit-000000.json"):
        shutil.copy(tmp_path / "three" / name, tmp_path / "two" / name)
    assert reshard(source.url, f"{tmp_path}/two", Execution(ShardSize(rows=2))).made_units == 1
    assert contents(tmp_path / "two") == expected


def test_different_samples_with_one_key_are_an_error_or_renamed(build: Build, tmp_path: Path) -> None:
    a, b = build("a", [["differs", "x"]]), build("b", [["differs", "y"]])
    with pytest.raises(
        AnimaticError, match=r"a and .*b have different samples with the key differs-000.*--rename"
    ):
        merge(f"{tmp_path}/out", [a.url, b.url])
    report = merge(f"{tmp_path}/renamed", [a.url, b.url], rename="of")
    out = intact(report.dataset)
    assert out.samples["key"].to_pylist() == ["differs-000", "x-000", "of2-differs-000", "y-000"]
    assert members(out)["of2-differs-000"] == members(b)["differs-000"]
    with pytest.raises(AnimaticError, match="ASCII letters"):
        merge(f"{tmp_path}/bad", [a.url, b.url], rename="../x")


def test_settings_that_the_sources_share_are_those_of_the_result(build: Build, tmp_path: Path) -> None:
    shared = {"seed": 1, "filters": {"duplicate_distance": 4, "min_motion": 0.5}}
    a = build("a", [["a"]], {**shared, "source_sha256": "1"})
    b = build("b", [["b"]], {"seed": 1, "filters": {"duplicate_distance": 4, "min_motion": 0.7}})
    out = intact(merge(f"{tmp_path}/out", [a.url, b.url]).dataset)
    assert {**out.info["config"], "made_from": None} == {
        "seed": 1,
        "filters": {"duplicate_distance": 4},
        "made_from": None,
    }
    assert len(out.duplicates) == 0  # no hashes; the table is there
    assert made_from(out.info)["sources"][0]["settings"] == {
        "filters": {"min_motion": 0.5},
        "source_sha256": "1",
    }


def test_a_video_taken_down_in_one_source_comes_back_from_none(build: Build, tmp_path: Path) -> None:
    a = build("a", [["gone", "b"], ["c"]])
    b = build("b", [["gone*2", "-d"], ["e"]])
    take_down(a.url, ["gone"], date="2026-11-26", reason="asked")
    report = merge(f"{tmp_path}/out", [a.url, b.url])
    out = intact(report.dataset)
    assert out.samples["source_id"].to_pylist() == ["b", "c", "e"]
    assert report.left_out == {"taken_down": 2}
    assert out.info["counts"]["reasons"] == {REJECTED: 1, "taken_down": 2}
    (history,) = out.info["history"]
    assert history["source_ids"] == [hash_of_id("gone")] and history["digest"] == a.digest
    for name, content in contents(tmp_path / "out").items():
        assert b"gone" not in content, name
    take_down(report.dataset, ["e"], date="2026-11-27", reason="asked")
    assert intact(report.dataset).samples["source_id"].to_pylist() == ["b", "c"]
    assert merge(f"{tmp_path}/out", [a.url, b.url]).samples == 2  # finished, as the takedown left it


def test_a_takedown_that_did_not_finish_holds_the_copy_up(build: Build, tmp_path: Path) -> None:
    a, b = build("a", [["a", "b"]]), build("b", [["c"]])
    take_down(a.url, ["a"], date="2026-11-26", reason="")
    file = tmp_path / "a" / "takedowns.json"
    record = json.loads(file.read_text())
    record["unfinished"] = {"config": None, "units": 0, "rows": 0, "tables": [], "latents": []}
    file.write_text(json.dumps(record))
    with pytest.raises(AnimaticError, match="did not finish"):
        merge(f"{tmp_path}/out", [a.url, b.url])


def test_a_damaged_shard_is_not_copied(build: Build, tmp_path: Path) -> None:
    a = build("a", [["a", "b"], ["c"]])
    shard = tmp_path / "a" / "shard-000001.tar"
    content = bytearray(shard.read_bytes())
    content[700] ^= 1
    shard.write_bytes(content)
    with pytest.raises(AnimaticError, match=r"shard-000001.tar is damaged.*animatic verify"):
        reshard(a.url, f"{tmp_path}/out", Execution(ShardSize(rows=5)))
    assert not (tmp_path / "out" / "dataset.json").exists()


IDS = [f"v{number}*{1 + number % 3}" for number in range(60)]


def test_no_video_is_in_two_parts_and_every_sample_in_one(build: Build, tmp_path: Path) -> None:
    source = build("a", [IDS[:30], [*IDS[30:], "-x"]])
    parts = [parse_part("train=0.7"), parse_part("validation=0.3")]
    reports = split(source.url, parts)
    assert [report.dataset for report in reports] == [f"{source.url}-train", f"{source.url}-validation"]
    train, validation = (intact(report.dataset) for report in reports)
    ids = [set(part.samples["source_id"].to_pylist()) for part in (train, validation)]
    assert not ids[0] & ids[1] and len(ids[0] | ids[1]) == 60
    assert members(train) | members(validation) == members(source)
    assert 0.5 < len(train) / len(source) < 0.9
    assert len(train.rejects) == 0
    assert reports[0].left_out == {"in_another_part": len(validation)}


def test_a_split_is_repeated_after_videos_were_taken_down_in_its_source_and_its_parts(
    build: Build, tmp_path: Path
) -> None:
    source, parts = build("a", [IDS[:30]]), [parse_part("train=0.7"), parse_part("rest=rest")]
    take_down(source.url, ["v0"], date="2026-11-26", reason="asked")
    reports = split(source.url, parts)
    gone = Dataset.open(reports[0].dataset).samples["source_id"][0].as_py()
    take_down(reports[0].dataset, [gone], date="2026-11-27", reason="asked")
    again = split(source.url, parts)
    assert [report.made_units for report in again] == [0, 0]
    assert again[0].samples < reports[0].samples and again[1].samples == reports[1].samples
    assert gone not in intact(again[0].dataset).samples["source_id"].to_pylist()


def test_a_video_stays_in_its_part_when_the_dataset_grows(build: Build, tmp_path: Path) -> None:
    parts = [parse_part("train=0.7"), parse_part("rest=rest")]
    found = []
    for name, ids in (("small", IDS[:30]), ("large", IDS)):
        source = build(name, [ids])
        reports = split(source.url, parts, output=f"{tmp_path}/{name}-parts")
        found.append([set(Dataset.open(r.dataset).samples["source_id"].to_pylist()) for r in reports])
    assert found[0][0] <= found[1][0] and found[0][1] <= found[1][1]


def test_parts_of_a_number_of_samples_are_exact(build: Build, tmp_path: Path) -> None:
    source = build("a", [IDS])
    reports = split(source.url, [parse_part("test=17"), parse_part("train=rest")])
    assert [report.samples for report in reports] == [17, len(source) - 17]
    by_key = split(
        source.url, [parse_part("test=1"), parse_part("train=rest")], by="key", output=f"{tmp_path}/k", seed=3
    )
    assert [report.samples for report in by_key] == [1, len(source) - 1]


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        (["a=0.5"], "2 to 255 parts"),
        (["a=0.5", "a=0.5"], "different names"),
        (["a=0.5", "b=0.4"], "the share rest"),
        (["a=0.5", "b=0.6"], "every sample needs a part"),
        (["a=3", "b=0.4"], "all shares as fractions"),
        (["a=rest", "b=rest"], "only one part"),
        (["a=4", "b=rest"], "nothing is left to rest"),
        (["a=1", "b=rest"], "part a would have no sample"),  # a video of four is not divided
        (["a=1.5", "b=rest"], "share of part a"),
        (["a=0", "b=rest"], "share of part a"),
        (["../a=0.5", "b=0.5"], "names no part"),
        (["a", "b=0.5"], "share of part a"),
        (["a=nan", "b=0.5"], "share of part a"),
    ],
)
def test_shares_that_do_not_fit_are_refused(build: Build, shares: list[str], message: str) -> None:
    source = build("a", [["v*4"]])
    with pytest.raises(AnimaticError, match=message):
        split(source.url, [parse_part(share) for share in shares])


def test_limits_of_a_subset_are_those_of_training(build: Build, tmp_path: Path) -> None:
    source = build("a", [["a", "b", "c"]])
    write_column(source, "flow", pa.array([0.7, 0.6, None], pa.float32()), {"dataset": source.digest})
    for kind, limits in (("minimum", {"flow": 0.7}), ("maximum", {"flow": 0.6})):
        report = subset(source.url, f"{tmp_path}/{kind}", Conditions(**{kind: limits}))
        selection = Selection(**{kind[:3]: limits})
        assert report.samples == len(passing_clips(source, selection)) == 1
    assert subset(source.url, f"{tmp_path}/where", Conditions(where="flow >= 0.7")).samples == 1


def test_a_subset_has_the_samples_that_satisfy_all_conditions(build: Build, tmp_path: Path) -> None:
    source = build("a", [["a", "b", "-x"], ["c*2", "d"]])
    write_column(source, "aesthetic", pa.array([1, 5, None, 6, 7], pa.float32()), {"dataset": source.digest})

    def keys(name: str, **conditions: object) -> list[str]:
        report = subset(source.url, f"{tmp_path}/{name}", Conditions(**conditions))
        return intact(report.dataset).samples["key"].to_pylist()

    assert keys("min", minimum={"aesthetic": 5}) == ["b-000", "c-001", "d-000"]
    assert keys("max", maximum={"aesthetic": 5}) == ["a-000", "b-000"]
    assert keys("where", where="'c' in key or aesthetic > 6.5") == ["c-000", "c-001", "d-000"]
    assert keys("keys", keys=frozenset({"d-000", "a-000"})) == ["a-000", "d-000"]
    drawn = keys("count", count=2, seed=1)
    assert len(drawn) == 2 and keys("again", count=2, seed=1) == drawn
    assert keys("both", minimum={"aesthetic": 5}, where="'c' in key") == ["c-001"]
    out = Dataset.open(tmp_path / "min")
    assert read_column(out, "aesthetic").values.to_pylist() == [5, 6, 7]
    assert made_from(out.info)["parameters"]["columns"].keys() == {"aesthetic"}
    assert out.info["counts"]["rows"] == 3 and len(out.rejects) == 0


@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        ({}, "name the samples"),
        ({"minimum": {"beauty": 1}}, "no column beauty"),
        ({"minimum": {"caption": 1}}, "has no numbers"),
        ({"where": "beauty > 1"}, "beauty"),
        ({"where": "__import__('os')"}, "cannot"),
        ({"keys": frozenset({"a-000", "zzz"})}, "not 'zzz'"),
        ({"minimum": {"frames": 10_000}}, "no row"),
    ],
)
def test_conditions_that_do_not_fit_are_refused(
    build: Build, tmp_path: Path, conditions: dict, message: str
) -> None:
    source = build("a", [["a"]])
    with pytest.raises(AnimaticError, match=message):
        subset(source.url, f"{tmp_path}/out", Conditions(**conditions))
    assert not (tmp_path / "out" / "dataset.json").exists()


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (ShardSize(rows=2), [3, 2, 2]),
        (ShardSize(rows=100), [7]),
        (ShardSize(megabytes=0.001), [1, 2, 1, 1, 1, 1]),
    ],
)
def test_shards_of_another_size_have_the_same_samples(
    build: Build, tmp_path: Path, size: ShardSize, expected: list[int]
) -> None:
    source = build("a", [["a", "b*2"], ["-c", "d"], ["e", "f", "-g", "h"]])
    out = intact(reshard(source.url, f"{tmp_path}/out", Execution(size)).dataset)
    assert [shard["samples"] for shard in out.info["shards"]] == expected
    assert list(members(out).items()) == list(members(source).items())
    assert out.rejects.to_pylist() == source.rejects.to_pylist()
    assert out.info["counts"] == source.info["counts"]


def test_columns_that_not_all_sources_have_are_left_out_and_named(build: Build, tmp_path: Path) -> None:
    a, b = build("a", [["a"]]), build("b", [["b", "c"]])
    for dataset in (a, b):
        same = {"dataset": dataset.digest, "model": "m"}
        write_column(dataset, "flow", pa.array([0.5] * len(dataset), pa.float32()), same)
        own = {"dataset": dataset.digest, "model": dataset.url}
        write_column(dataset, "blur", pa.array([0.5] * len(dataset), pa.float32()), own)
    write_column(a, "text", pa.array(["t"]), {"dataset": a.digest})
    report = merge(f"{tmp_path}/out", [a.url, b.url])
    out = Dataset.open(report.dataset)
    assert read_column(out, "flow").source == {"dataset": out.digest, "model": "m"}
    assert [notice.split()[1] for notice in report.notices] == ["blur", "text"]
    (tmp_path / "out" / "columns" / "flow.parquet").unlink()  # as if stopped before it was written
    merge(f"{tmp_path}/out", [a.url, b.url])
    assert read_column(out, "flow").values.to_pylist() == [0.5] * 3


def test_further_members_and_captions_of_a_sample_go_with_it(build: Build, tmp_path: Path) -> None:
    plain = build("plain", [["x"]])
    first = sample("a")
    rung = {"rung": "32", "width": WIDTH, "height": HEIGHT, "fps": 8.0, "frames": 9}
    rich = replace(first, more_jpgs=[first.jpg], more_captions=["another"], rungs=[first.mp4])
    rich.info.update({"rungs": [rung], "captions": [first.caption, "another"]})
    outcomes: list[RowOutcome] = [{"row": 0, "source_id": "a", "samples": 1}]
    commit_clips(Folder(tmp_path / "rich"), 0, [rich], outcomes)
    commit_dataset(Folder(tmp_path / "rich"), {}, 1, 1)
    out = intact(merge(f"{tmp_path}/out", [plain.url, f"{tmp_path}/rich"]).dataset)
    (tar,) = (out.folder.local_path / shard["name"] for shard in out.info["shards"][1:])
    assert tar.read_bytes() == (tmp_path / "rich" / "shard-000000.tar").read_bytes()
    row = out.samples.slice(1, 1).to_pylist()[0]
    assert row["more_captions"] == ["another"] and row["rungs"][0]["rung"] == "32"
    assert len(row["more_jpg_size"]) == 1
    assert intact(split(out.url, [parse_part("a=1"), parse_part("b=1")])[0].dataset)


def test_near_duplicates_are_carried_only_where_all_samples_are(build: Build, tmp_path: Path) -> None:
    source = build("a", [["a", "b"], ["c"]])
    origin = {"dataset": source.digest, "threshold": "0.9"}
    write_column(source, "similar_to", pa.array([None, "a-000", None], pa.string()), origin)
    whole = reshard(source.url, f"{tmp_path}/whole", Execution(ShardSize(rows=9)))
    assert read_column(Dataset.open(whole.dataset), "similar_to").values.to_pylist() == [None, "a-000", None]
    part = subset(source.url, f"{tmp_path}/part", Conditions(keys=frozenset({"b-000"})))
    assert "similar_to" in part.notices[0] and stored_columns(Folder(part.dataset)) == []
    distinct = subset(source.url, f"{tmp_path}/distinct", Conditions(where="similar_to == ''"))
    assert Dataset.open(distinct.dataset).samples.num_rows == 2


def test_a_leader_that_was_taken_down_does_not_come_back_with_a_column(build: Build, tmp_path: Path) -> None:
    source = build("a", [["a", "b"], ["c"]])
    origin = {"dataset": source.digest}
    write_column(source, "similar_to", pa.array([None, "a-000", None], pa.string()), origin)
    write_column(source, "flow", pa.array([1, 2, 3], pa.float32()), origin)
    execution = Execution(ShardSize(rows=9))
    out = reshard(source.url, f"{tmp_path}/out", execution).dataset
    take_down(out, ["a"], date="2026-11-26T12:00:00+00:00")
    reshard(source.url, f"{tmp_path}/out", execution)
    assert read_column(Dataset.open(out), "flow").values.to_pylist() == [2, 3]
    with pytest.raises(AnimaticError, match="is of an earlier state"):
        read_column(Dataset.open(out), "similar_to")


def test_both_sides_may_be_object_stores(build: Build, tmp_path: Path) -> None:
    source = build("a", [["a", "b*2"], ["-c", "d"]])
    store = fsspec.filesystem("memory")
    store.put(f"{tmp_path}/a", "/reshaped/a", recursive=True)
    report = reshard("memory://reshaped/a", "memory://reshaped/out", Execution(ShardSize(rows=2)))
    local = reshard(source.url, f"{tmp_path}/out", Execution(ShardSize(rows=2)))
    assert report.digest == local.digest and verify("memory://reshaped/out") == []
    assert read_card(Folder("memory://reshaped/out")) == read_card(Folder(tmp_path / "out"))
    store.rm("/reshaped", recursive=True)


@pytest.mark.slow
def test_ray_makes_the_same_bytes(build: Build, tmp_path: Path) -> None:
    a, b = build("a", [["a", "b*2"], ["-c", "d"]]), build("b", [["e"], ["f"]])
    merge(f"{tmp_path}/one", [a.url, b.url])
    merge(f"{tmp_path}/two", [a.url, b.url], execution=Execution(workers=2))
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_images_are_refused_with_the_remedy(tmp_path: Path, build: Build) -> None:
    source = build("a", [["a"]], {"kind": "images"})
    with pytest.raises(AnimaticError, match="index-images"):
        reshard(source.url, f"{tmp_path}/out", Execution(ShardSize(rows=1)))


def test_what_was_made_of_a_made_dataset_names_both(build: Build, tmp_path: Path) -> None:
    a, b = build("a", [["a", "b"]]), build("b", [["c"]])
    merged = merge(f"{tmp_path}/merged", [a.url, b.url])
    out = Dataset.open(reshard(merged.dataset, f"{tmp_path}/out", Execution(ShardSize(rows=9))).dataset)
    (source,) = made_from(out.info)["sources"]
    assert source["digest"] == merged.digest
    assert [each["digest"] for each in source["settings"]["made_from"]["sources"]] == [a.digest, b.digest]
