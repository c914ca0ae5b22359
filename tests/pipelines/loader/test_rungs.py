"""A dataset with a ladder: stored, verified, copied and taken down whole, and read by the size of samples."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import webdataset

from core.canonical_json import canonical_json
from core.storage import Folder
from models.batch import Batch
from pipelines.dataset import Dataset
from pipelines.dataset.commit import commit_dataset
from pipelines.dataset.latents import Latents
from pipelines.dataset.records import UnitManifest
from pipelines.dataset.units import read_unit, unit_name
from pipelines.dataset.verify import verify
from pipelines.encode import EncodeConfig, encode
from pipelines.ingest.unit import IngestConfig, make_unit, retry_unit
from pipelines.loader import Bucket, CacheConfig, ClipLoader, ClipSampling, WeightedDataset
from pipelines.loader.clip_store import ClipStore
from pipelines.loader.rungs import on_rung
from pipelines.loader.sample_reader import ClipRow
from pipelines.sources import SourceTable
from pipelines.survey import survey
from pipelines.takedown import take_down
from pipelines.video.frames import read_clip
from tests.support.footage import row, write_coded, write_table
from training.config import resolve

LADDER = [{"short_side": 32}, {"short_side": 48, "fps": 8}, {"short_side": 256}]
MODEL = resolve(3, "tiny").model
SAMPLING = ClipSampling(frames=4, height=32, width=48, stride=(1, 3))


def ingest(source: Path, output: Path, rows: int = 3, **changes: object) -> Dataset:
    config = IngestConfig(
        source=str(source / "table.csv"), videos=str(source), output=str(output), short_side=96, **changes
    )
    table = SourceTable(config.source)
    make_unit(config, 0, list(table.rows())[:rows], {})
    commit_dataset(Folder(output), {"test": 1}, 1, rows)
    return Dataset.open(output)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    (folder / "p").mkdir()
    for name, frames in (("a", 50), ("b", 40), ("c", 30)):
        write_coded(folder / "p" / f"{name}.mp4", range(frames))
    write_table(folder / "table.csv", [row(name) for name in ("a", "b", "c")])
    return folder


@pytest.fixture(scope="module")
def laddered(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return ingest(source, tmp_path_factory.mktemp("data") / "laddered", ladder=LADDER)


@pytest.fixture(scope="module")
def plain(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return ingest(source, tmp_path_factory.mktemp("data") / "plain")


def batches(dataset: Dataset, count: int, sampling: ClipSampling = SAMPLING) -> list[Batch]:
    loader = ClipLoader(dataset, sampling, seed=1, global_batch=2)
    return list(itertools.islice(iter(loader), count))


def samples_of(batch: Batch) -> list[tuple[object, ...]]:
    """Key of each sample and what was drawn for it."""
    drawn = (batch.fps, batch.condition_index, batch.seed)
    return [(key, *(values[n].item() for values in drawn)) for n, key in enumerate(batch.keys)]


def test_rungs_are_members_of_their_sample(laddered: Dataset, plain: Dataset) -> None:
    [first, *_] = webdataset.WebDataset(f"{laddered.url}/shard-000000.tar", shardshuffle=False)
    names = ["jpg", "json", "mp4", "txt", "32.mp4", "48x8.mp4"]
    assert [name for name in first if not name.startswith("__")] == names
    info = json.loads(first["json"])
    assert [rung["rung"] for rung in info["rungs"]] == ["32", "48x8"]
    assert laddered.read_rung(0, "48x8") == first["48x8.mp4"]
    assert [len(laddered.rungs(number)) for number in range(3)] == [2, 2, 2]
    assert laddered.read(1, "mp4") == plain.read(1, "mp4")
    assert [plain.rungs(number) for number in range(3)] == [[], [], []]


def test_the_survey_counts_rungs(laddered: Dataset, plain: Dataset) -> None:
    assert survey(laddered).rungs == {"32": 3, "48x8": 3}
    assert survey(plain).rungs == {}


def test_a_dataset_without_a_ladder_records_nothing_of_it(plain: Dataset) -> None:
    manifest = read_unit(plain.folder, 0, UnitManifest)
    assert all("rungs" not in sample for sample in manifest["samples"])
    assert "rungs" not in json.loads(plain.read(0, "json"))


def test_verify_reads_the_rungs(laddered: Dataset, source: Path, tmp_path: Path) -> None:
    assert verify(laddered.url, deep=True) == []
    damaged = ingest(source, tmp_path / "damaged", ladder=LADDER)
    rung = damaged.rungs(1)[1]
    tar = tmp_path / "damaged" / "shard-000000.tar"
    content = bytearray(tar.read_bytes())
    content[rung["offset"] : rung["offset"] + rung["size"]] = bytes(rung["size"])
    tar.write_bytes(content)
    assert any("b-000: its 48x8.mp4 cannot be read" in problem for problem in verify(damaged.url))
    manifest = read_unit(damaged.folder, 0, UnitManifest)
    manifest["samples"][2]["rungs"][0]["frames"] += 1
    (tmp_path / "damaged" / unit_name(0)).write_bytes(canonical_json(manifest))
    commit_dataset(damaged.folder, {"test": 1}, 1, 3)
    problems = verify(damaged.url)
    assert any("c-000: its json contradicts the tables (rungs)" in problem for problem in problems)
    assert any("c-000: its 32.mp4 has 30 frames, not 31" in problem for problem in problems)


def test_a_retry_and_a_takedown_keep_the_rungs_of_other_samples(
    laddered: Dataset, source: Path, tmp_path: Path
) -> None:
    kept = [laddered.read_rung(2, rung["rung"]) for rung in laddered.rungs(2)]
    (source / "p" / "c.mp4").rename(source / "p" / "hidden.mp4")
    try:
        output = tmp_path / "data"
        ingest(source, output, ladder=LADDER)
    finally:
        (source / "p" / "hidden.mp4").rename(source / "p" / "c.mp4")
    config = IngestConfig(
        source=str(source / "table.csv"),
        videos=str(source),
        output=str(output),
        short_side=96,
        ladder=LADDER,
    )
    retry_unit(config, 0, ["missing_file"])
    commit_dataset(Folder(output), {"test": 1}, 1, 3)
    assert (output / "shard-000000.tar").read_bytes() == (
        Path(laddered.url) / "shard-000000.tar"
    ).read_bytes()
    take_down(str(output), ["a"], latents=[], reason="licence", date="2026-11-26T12:00:00+00:00")
    assert verify(output) == []
    left = Dataset.open(output)
    assert left.samples["key"].to_pylist() == ["b-000", "c-000"]
    assert [left.read_rung(1, rung["rung"]) for rung in left.rungs(1)] == kept


def test_samples_come_from_the_smallest_rung_that_covers_them(
    laddered: Dataset, plain: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    original = Dataset.read_rung
    monkeypatch.setattr(
        Dataset, "read_rung", lambda self, row, rung: read.append(rung) or original(self, row, rung)
    )
    ours, theirs = batches(laddered, 6), batches(plain, 6)
    assert set(read) == {"32"}
    # The order of samples depends on the dataset's digest; what is drawn, on the key alone.
    drawn = [{sample for batch in made for sample in samples_of(batch)} for made in (ours, theirs)]
    assert drawn[0] & drawn[1]
    read.clear()
    batches(laddered, 2, SAMPLING.model_copy(update={"height": 64, "width": 96}))
    assert not read


def test_each_bucket_reads_its_own_rung(laddered: Dataset) -> None:
    store = ClipStore(WeightedDataset(laddered), 64, CacheConfig())
    buckets = [Bucket(height=32, width=48, frames=4), Bucket(height=96, width=144, frames=8)]
    found = [store.clip(0, bucket.sampling(SAMPLING)) for bucket in buckets]
    assert [(clip.rung, clip.height, clip.frames) for clip in found] == [("32", 32, 50), (None, 96, 50)]
    images = store.clip(0, SAMPLING.model_copy(update={"images_only": True}))
    assert (images.rung, images.fps) == (None, 25.0)


CLIP = ClipRow(row=0, key="a", caption="", frames=60, fps=30.0, height=512, width=910)
RUNGS = [
    {"rung": "256", "width": 456, "height": 256, "fps": 30.0, "frames": 60, "offset": 0, "size": 1},
    {"rung": "256x8", "width": 456, "height": 256, "fps": 8.0, "frames": 16, "offset": 0, "size": 1},
    {"rung": "128x15", "width": 228, "height": 128, "fps": 15.0, "frames": 30, "offset": 0, "size": 1},
]


@pytest.mark.parametrize(
    ("changes", "rung"),
    [
        ({"height": 128, "width": 128}, "256"),  # strides count frames of the clip
        ({"height": 128, "width": 128, "target_fps": (4, 8)}, "128x15"),
        ({"height": 256, "width": 256, "target_fps": (4, 8)}, "256x8"),
        ({"height": 256, "width": 256, "target_fps": (4, 9)}, "256"),  # a sample at 9 would be lost
        ({"height": 256, "width": 256, "target_fps": (4, 8), "frames": 17}, "256"),  # 256x8 has 16 frames
        ({"height": 256, "width": 456, "target_fps": (4, 8)}, "256x8"),
        ({"height": 256, "width": 458, "target_fps": (4, 8)}, None),
        ({"height": 1024, "width": 1024}, None),
        ({"height": 128, "width": 128, "target_fps": (4, 8), "fps_condition": "stride"}, "256"),
        ({"height": 128, "width": 128, "images_only": True}, None),
    ],
)
def test_which_rung_is_read(changes: dict[str, object], rung: str | None) -> None:
    sampling = ClipSampling.model_validate({"frames": 16, "height": 8, "width": 8, **changes})
    chosen = on_rung(CLIP, RUNGS, sampling, any_rate=True)
    assert chosen.rung == rung
    expected = next((each for each in RUNGS if each["rung"] == rung), {"fps": 30.0, "frames": 60})
    assert (chosen.fps, chosen.frames) == (expected["fps"], expected["frames"])


def test_a_rate_of_the_rung_is_what_samples_are_drawn_at(laddered: Dataset) -> None:
    sampling = ClipSampling(frames=4, height=48, width=48, target_fps=(8, 8))
    for batch in batches(laddered, 3, sampling):
        assert batch.fps.tolist() == [8.0, 8.0]


def test_latents_are_of_the_rung_for_their_size(laddered: Dataset, plain: Dataset, tmp_path: Path) -> None:
    def encoded(dataset: Dataset, name: str, height: int, width: int) -> Latents:
        output = str(tmp_path / name)
        encode(
            EncodeConfig(
                dataset=dataset.url, output=output, codec=MODEL.codec, workers=0, height=height, width=width
            )
        )
        return Latents.open(output, dataset)

    small = encoded(laddered, "small", 32, 48)
    manifest = json.loads((tmp_path / "small" / "units" / "unit-000000.json").read_text())
    assert [sample["rung"] for sample in manifest["samples"]] == ["32"] * 3
    assert [sample["frames"] for sample in manifest["samples"]] == [50, 40, 30]
    sampling = SAMPLING.model_copy(update={"target_fps": (8, 8)})
    mixed = [WeightedDataset(laddered, latents=small)]
    batch = next(iter(ClipLoader(mixed, sampling, seed=1, global_batch=2)))
    assert batch.fps.tolist() != [8.0, 8.0]  # latents have the frames of the clip's own rate
    encoded(plain, "plain", 32, 48)
    manifest = json.loads((tmp_path / "plain" / "units" / "unit-000000.json").read_text())
    assert all("rung" not in sample for sample in manifest["samples"])


def test_pixels_of_a_rung_are_those_of_the_clip_in_small(laddered: Dataset) -> None:
    indices = [0, 7, 20]
    small = read_clip(laddered.read_rung(0, "32"), indices, (32, 54), (32, 48)).astype(int)
    large = read_clip(laddered.read(0, "mp4"), indices, (96, 160), (32, 48)).astype(int)
    assert np.abs(small - large).mean() < 8
