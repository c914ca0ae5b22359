"""Several metrics of one dataset: one decode, a column each, and only what is missing is computed."""

import json
import tarfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from pydantic import ValidationError

from core.errors import AnimaticError
from pipelines.dataset import Dataset
from pipelines.dataset.columns import column_source, stored_columns
from pipelines.dataset.images import index_images
from pipelines.score import ScoreConfig, score
from tests.support.coded_clips import build_dataset
from tests.support.columns import values_of
from training.config import resolve

ENCODERS = resolve(3, "tiny").model.encoders
LENGTHS, SIZES = [24, 12, 30, 24, 18], [2, 2, 1]
COLUMNS = ["aesthetic", "aesthetic_min", "blur", "clip_similarity", "flow", "screen_text"]


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("head") / "head.pth"
    torch.manual_seed(1)
    torch.save(torch.nn.Linear(ENCODERS.text.width, 1).state_dict(), path)
    return path


def config(dataset: Dataset, path: Path, **changes) -> ScoreConfig:
    everything = {"metrics": ("clip", "aesthetic", "flow", "text", "blur"), "encoders": ENCODERS}
    settings = {"dataset": dataset.url, "head": str(path), "workers": 0, "batch": 2, **everything}
    return ScoreConfig(**settings | changes)


def unit_files(dataset: Dataset) -> dict[str, int]:
    root = dataset.folder.local_path
    return {str(path.relative_to(root)): path.stat().st_mtime_ns for path in root.glob("columns/*/*.json")}


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory, head: Path) -> Dataset:
    dataset = build_dataset(tmp_path_factory.mktemp("data") / "set", LENGTHS, sizes=SIZES)
    score(config(dataset, head))
    return dataset


def test_every_metric_has_its_columns_and_the_dataset_stays(scored: Dataset) -> None:
    assert stored_columns(scored.folder) == COLUMNS
    assert Dataset.open(scored.url).digest == scored.digest
    for name in COLUMNS:
        assert column_source(scored.folder, name)["dataset"] == scored.digest
    values = {name: values_of(scored, name) for name in COLUMNS}
    assert (values["aesthetic_min"] <= values["aesthetic"]).all()
    assert np.flatnonzero(np.isnan(values["screen_text"])).tolist() == [1]  # shorter than a second
    assert not any(np.isnan(values[name]).any() for name in COLUMNS if name != "screen_text")


def test_metrics_one_by_one_give_what_they_give_together(scored: Dataset, head: Path, tmp_path: Path) -> None:
    dataset = build_dataset(tmp_path / "set", LENGTHS, sizes=[5])
    for metric in ("blur", "aesthetic", "clip", "text", "flow"):
        score(config(dataset, head, metrics=(metric,), batch=64))
    assert stored_columns(dataset.folder) == COLUMNS
    for name in COLUMNS:
        np.testing.assert_allclose(values_of(dataset, name), values_of(scored, name), atol=2e-4)


def test_one_more_metric_leaves_the_others_as_they_are(tmp_path: Path, head: Path) -> None:
    dataset = build_dataset(tmp_path / "set", LENGTHS, sizes=SIZES)
    score(config(dataset, head, metrics=("flow",)))
    before = unit_files(dataset)
    assert score(config(dataset, head, metrics=("flow", "blur"))).made_units == 3
    after = unit_files(dataset)
    assert {name: after[name] for name in before} == before
    assert stored_columns(dataset.folder) == ["blur", "flow"]
    again = score(config(dataset, head, metrics=("blur", "flow")))
    assert (again.made_units, again.skipped_units, list(again.columns)) == (0, 3, ["flow", "blur"])


def test_an_interrupted_pass_continues_with_each_column_where_it_was(tmp_path: Path, head: Path) -> None:
    dataset = build_dataset(tmp_path / "set", LENGTHS, sizes=SIZES)
    both = config(dataset, head, metrics=("flow", "blur"))
    score(both)
    root = dataset.folder.local_path
    files = {name: (root / name).read_bytes() for name in ("columns/flow.parquet", "columns/blur.parquet")}
    for name in files:
        (root / name).unlink()
    (root / "columns/flow/unit-000001.json").unlink()
    before = unit_files(dataset)
    assert score(both).made_units == 1
    after = unit_files(dataset)
    assert {name: after[name] for name in before} == before
    assert {name: (root / name).read_bytes() for name in files} == files


def test_another_setting_computes_its_columns_again(tmp_path: Path, head: Path) -> None:
    dataset = build_dataset(tmp_path / "set", [12, 12])
    score(config(dataset, head, metrics=("flow", "blur")))
    report = score(config(dataset, head, metrics=("flow", "blur"), frames=2))
    assert report.made_units == 1
    assert column_source(dataset.folder, "blur")["frames"] == "2"


def test_a_clip_that_cannot_be_decoded_has_no_values_and_others_have(tmp_path: Path, head: Path) -> None:
    def spoil(number: int, mp4: bytes) -> bytes:
        return {1: mp4[: len(mp4) // 2], 2: b"\0" * 300, 3: b""}.get(number, mp4)

    dataset = build_dataset(tmp_path / "set", [24] * 5, spoil)
    report = score(config(dataset, head))
    for name in COLUMNS:
        missing = [] if name == "clip_similarity" else [1, 2, 3]  # of the image, which is whole
        assert np.flatnonzero(np.isnan(values_of(dataset, name))).tolist() == missing
        assert report.columns[name].failed == len(missing)


def test_a_clip_with_fewer_frames_than_recorded_has_no_values(tmp_path: Path, head: Path) -> None:
    short = build_dataset(tmp_path / "short", [6]).read(0, "mp4")
    dataset = build_dataset(tmp_path / "set", [24, 24], lambda n, mp4: short if n else mp4)
    score(config(dataset, head, metrics=("blur", "flow")))
    assert [np.isnan(values_of(dataset, name)).tolist() for name in ("blur", "flow")] == [[False, True]] * 2


def test_images_have_no_clips_to_measure(tmp_path: Path, head: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "image.jpg")
    (tmp_path / "caption.txt").write_text("a caption")
    folder = tmp_path / "images"
    folder.mkdir()
    with tarfile.open(folder / "0.tar", "w") as tar:
        for row in range(2):
            for name in ("image.jpg", "caption.txt"):
                tar.add(tmp_path / name, f"{row}{Path(name).suffix}")
    index_images(folder)
    images = Dataset.open(folder)
    with pytest.raises(AnimaticError, match="have no clips to measure: leave flow, text out"):
        score(config(images, head))
    score(config(images, head, metrics=("clip", "aesthetic", "blur")))
    assert all(np.isfinite(values_of(images, name)).all() for name in ("aesthetic", "blur"))


def test_models_that_are_missing_or_do_not_fit_are_named(scored: Dataset, head: Path, tmp_path: Path) -> None:
    with pytest.raises(
        ValidationError, match=r"missing, for clip and aesthetic: .*--metrics flow,subject_motion,text,blur"
    ):
        config(scored, head, encoders=None)
    with pytest.raises(ValidationError, match="a head over CLIP's embeddings is missing"):
        config(scored, head, head=None)
    with pytest.raises(
        ValidationError, match="name at least one of clip, aesthetic, flow, subject_motion, text, blur"
    ):
        config(scored, head, metrics=())
    torch.save(torch.nn.Linear(768, 1).state_dict(), tmp_path / "large.pth")
    with pytest.raises(AnimaticError, match=r"takes 768 features and CLIP model .* has \d+"):
        score(config(scored, tmp_path / "large.pth", metrics=("aesthetic",)))
    with pytest.raises(AnimaticError, match=r"no file at .*missing.pth \(head\)"):
        score(config(scored, tmp_path / "missing.pth", metrics=("aesthetic",)))


def test_columns_are_plain_parquet(scored: Dataset) -> None:
    table = pq.read_table(scored.folder.local_path / "columns/flow.parquet")
    assert table.column_names == ["key", "flow"]
    unit = json.loads((scored.folder.local_path / "columns/flow/unit-000000.json").read_text())
    assert unit["values"] == pytest.approx(table["flow"].to_pylist()[:2])
