"""From rows to a dataset with filters, a watermark and duplicates."""

import json
from fractions import Fraction
from pathlib import Path

import pytest
import webdataset

from core.storage import Folder
from pipelines.dataset import Dataset
from pipelines.dataset.commit import commit_dataset
from pipelines.ingest.filters import FilterConfig
from pipelines.ingest.samples import SampleSettings, samples_of
from pipelines.ingest.unit import IngestConfig, make_unit
from pipelines.sources import SourceRow, SourceTable
from pipelines.video import Watermark
from tests.support.footage import ffmpeg, row, write_coded, write_table
from tests.support.pictures import write_corners


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Videos a, b, a again at another size and bit rate, a still one and a film of three scenes."""
    folder = tmp_path_factory.mktemp("source")
    (folder / "p").mkdir()
    a = write_coded(folder / "p" / "a.mp4", range(48))
    looks = {"b": "mandelbrot=s=160x96:r=25", "still": "smptebars=s=160x96:r=25"}
    for name, generator in looks.items():
        ffmpeg(folder / "p" / f"{name}.mp4", "-f", "lavfi", "-i", generator, "-t", "2")
    ffmpeg(folder / "p" / "again.mp4", "-i", str(a), "-vf", "scale=120:72", "-crf", "30")
    parts = [arg for name in ("b", "still", "a") for arg in ("-i", str(folder / "p" / f"{name}.mp4"))]
    ffmpeg(folder / "p" / "film.mp4", *parts, "-filter_complex", "concat=n=3")
    write_table(folder / "table.csv", [row(name) for name in ("a", "b", "again", "still", "film")])
    return folder


def make(source: Path, output: Path, **changes: object) -> Dataset:
    config = IngestConfig(
        source=str(source / "table.csv"), videos=str(source), output=str(output), short_side=64, **changes
    )
    rows = list(SourceTable(config.source).rows())
    for unit in (0, 1):
        make_unit(config, unit, rows[3 * unit : 3 * unit + 3], {})
    commit_dataset(Folder(output), config.model_dump(mode="json"), 2, len(rows))
    return Dataset.open(output)


def test_dropped_clips_and_rejected_rows_are_counted_by_reason(source: Path, tmp_path: Path) -> None:
    dataset = make(source, tmp_path, scene_threshold=10, filters=FilterConfig(min_motion=0.2))
    keys = dataset.samples["key"].to_pylist()
    assert keys == ["a-000", "b-000", "again-000", "film-000", "film-002"]
    assert dataset.info["counts"]["reasons"] == {"too_still": 1}
    assert dataset.info["counts"]["dropped_clips"] == {"too_still": 1}
    scores = json.loads(dataset.read(0, "json"))["scores"]
    assert scores.keys() == {"motion", "brightness", "text", "aspect"}
    assert dataset.samples["text"][0].as_py() == pytest.approx(scores["text"])


def test_clips_before_the_damage_are_deleted(source: Path, tmp_path: Path) -> None:
    data = bytearray((source / "p" / "film.mp4").read_bytes())
    middle = len(data) * 2 // 3
    data[middle : middle + 3000] = bytes(3000)
    (source / "p" / "spoilt.mp4").write_bytes(data)
    settings = SampleSettings(videos=str(source), short_side=64, clip_seconds=0.64)
    outcomes: list[dict[str, object]] = []
    assert list(samples_of(settings, [SourceRow(0, row("spoilt"))], tmp_path, outcomes)) == []
    assert outcomes[0]["reason"] == "corrupt"
    assert list(tmp_path.iterdir()) == []


def test_a_sample_records_what_was_converted_of_its_pictures(tmp_path: Path) -> None:
    write_corners(tmp_path / "wide.mp4", frames=20, aspect=Fraction(2))
    write_coded(tmp_path / "plain.mp4", range(20))
    settings = SampleSettings(videos=str(tmp_path), short_side=64)
    (scratch := tmp_path / "scratch").mkdir()
    rows = [SourceRow(number, row(name, page_dir=".")) for number, name in enumerate(("wide", "plain"))]
    converted, ordinary = samples_of(settings, rows, scratch, [])
    assert converted.info["conversions"] == {"sample_aspect": "2:1"}
    assert (converted.info["width"], converted.info["height"]) == (214, 64)
    assert "conversions" not in ordinary.info


def test_duplicates_are_named_across_units(source: Path, tmp_path: Path) -> None:
    filters = FilterConfig(duplicate_distance=20)
    dataset = make(source, tmp_path, scene_threshold=10, filters=filters)
    named = {found["key"]: found["duplicate_of"] for found in dataset.duplicates.to_pylist()}
    assert named.items() >= {"again-000": "a-000", "film-001": "still-000", "film-002": "a-000"}.items()
    assert not named.keys() & {"a-000", "b-000", "still-000"}
    assert "duplicates.parquet" in dataset.info["files"]


def test_a_tagged_watermark_is_in_caption_and_json(source: Path, tmp_path: Path) -> None:
    mark = Watermark(box=(0.3, 0.4, 0.7, 0.6), action="tag")
    dataset = make(source, tmp_path, watermark=mark)
    assert dataset.samples["caption"][0].as_py() == "a picture of a, watermark"
    assert json.loads(dataset.read(0, "json"))["watermark"]["action"] == "tag"


def test_stock_webdataset_reads_several_images(source: Path, tmp_path: Path) -> None:
    dataset = make(source, tmp_path, condition_frames=3)
    samples = list(webdataset.WebDataset(str(tmp_path / "shard-000000.tar"), shardshuffle=False))
    assert [sample["__key__"] for sample in samples] == ["a-000", "b-000", "again-000"]
    for number in (1, 2):
        assert samples[0][f"{number}.jpg"] == dataset.read_image(0, number)
    assert samples[0]["jpg"] == dataset.read_image(0, 0) == dataset.read(0, "jpg")
    assert dataset.images(0) == 3
