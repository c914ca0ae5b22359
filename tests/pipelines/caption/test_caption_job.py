"""Captions beside the dataset: of which clips, resumed by shard, with their origin, read in training."""

import io
import itertools
import json
import re
import shutil
from pathlib import Path

import pytest
import torch
import transformers
import webdataset
from PIL import Image

from core.errors import AnimaticError
from pipelines.caption import CaptionConfig, CaptionReport, caption
from pipelines.caption.captioner import Captioner
from pipelines.dataset import Dataset
from pipelines.dataset.columns import column_source, read_column, stored_columns
from pipelines.dataset.images import index_images
from pipelines.loader import Captions, ClipLoader, ClipSampling, WeightedDataset
from pipelines.takedown import take_down
from tests.support.captioners import write_blip
from tests.support.coded_clips import build_dataset

LENGTHS, SIZES = [12, 6, 3, 12, 12], [3, 2]
TEXTS = [["first"], [""], ["third"], [""], ["fifth"]]


@pytest.fixture(scope="module")
def blip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_blip(tmp_path_factory.mktemp("models") / "BLIP tiny-1.0")


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    def spoil(number: int, mp4: bytes) -> bytes:
        return mp4[: len(mp4) // 2] if number == 3 else mp4

    return build_dataset(tmp_path / "data", LENGTHS, spoil, sizes=SIZES, captions=TEXTS)


def run(dataset: Dataset, model: Path, **changes: object) -> CaptionReport:
    settings = {"dataset": dataset.url, "model": str(model), "workers": 0, "max_new_tokens": 6, **changes}
    return caption(CaptionConfig.model_validate(settings))


def values(dataset: Dataset, name: str) -> list[str | None]:
    found: list[str | None] = read_column(dataset, name).values.to_pylist()
    return found


def test_every_readable_clip_has_a_caption_and_the_dataset_stays(dataset: Dataset, blip: Path) -> None:
    report = run(dataset, blip)
    assert (report.column, report.samples, report.captioned) == ("caption_blip_tiny_1_0", 5, 4)
    assert (report.unreadable, report.empty, report.kept) == (1, 0, 0)
    captions = values(dataset, report.column)
    assert [text is None for text in captions] == [False, False, False, True, False]
    assert all(text and " ".join(text.split()) == text for text in captions if text is not None)
    assert values(dataset, f"{report.column}_reason") == [None, None, None, "unreadable", None]
    assert Dataset.open(dataset.url).digest == dataset.digest


def test_the_origin_of_captions_is_recorded(dataset: Dataset, blip: Path) -> None:
    report = run(dataset, blip, prompt="a dog", name="own")
    assert report.column == "caption_own"
    source = column_source(dataset.folder, "caption_own")
    recorded = {
        name: source[name] for name in ("dataset", "model", "prompt", "frames", "transformers", "torch")
    }
    assert recorded == {
        "dataset": dataset.digest,
        "model": "BLIP tiny-1.0",
        "prompt": "a dog",
        "frames": "1",
        "transformers": transformers.__version__,
        "torch": torch.__version__,
    }
    assert re.fullmatch("[0-9a-f]{64}", source["weights"])
    assert not any((text or "").startswith("a dog") for text in values(dataset, "caption_own"))


def test_only_clips_without_a_caption_in_the_table(dataset: Dataset, blip: Path) -> None:
    report = run(dataset, blip, only_missing=True)
    assert (report.captioned, report.unreadable, report.kept) == (1, 1, 3)
    captions = values(dataset, report.column)
    assert [text is None for text in captions] == [True, False, True, True, True]
    everything = run(dataset, blip, name="all")
    assert captions[1] == values(dataset, everything.column)[1]


def test_finished_shards_are_kept_until_model_or_settings_change(dataset: Dataset, blip: Path) -> None:
    first = run(dataset, blip, name="x")
    assert (first.made_units, first.skipped_units) == (2, 0)
    again = run(dataset, blip, name="x", batch=3)
    assert (again.made_units, again.skipped_units) == (0, 2)
    folder = Path(dataset.url) / "columns"
    whole = values(dataset, "caption_x")
    marked = folder / "caption_x" / "unit-000000.json"
    unit = json.loads(marked.read_text())
    marked.write_text(json.dumps({**unit, "values": ["kept", *unit["values"][1:]]}))
    (folder / "caption_x.parquet").unlink()
    (folder / "caption_x" / "unit-000001.json").unlink()
    assert run(dataset, blip, name="x").made_units == 1
    assert values(dataset, "caption_x") == ["kept", *whole[1:]]
    assert run(dataset, blip, name="x", max_new_tokens=3).made_units == 2
    assert values(dataset, "caption_x")[0] != "kept"


def test_another_weight_is_another_model(dataset: Dataset, blip: Path, tmp_path: Path) -> None:
    run(dataset, blip, name="x")
    other = write_blip(tmp_path / blip.name, seed=1)
    assert run(dataset, other, name="x").made_units == 2
    assert run(dataset, other, name="x").made_units == 0


def test_captions_do_not_depend_on_batch_and_shards(dataset: Dataset, blip: Path, tmp_path: Path) -> None:
    report = run(dataset, blip)
    whole = build_dataset(tmp_path / "whole", LENGTHS, captions=TEXTS)
    expected = values(dataset, report.column)
    found = values(whole, run(whole, blip, batch=4).column)
    assert [text for n, text in enumerate(found) if n != 3] == [t for n, t in enumerate(expected) if n != 3]


def test_a_model_that_writes_nothing_leaves_clips_without_caption(
    dataset: Dataset, blip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Captioner, "_write", lambda self, clips: [" \n "] * len(clips))
    report = run(dataset, blip, name="x")
    assert (report.captioned, report.empty, report.unreadable) == (0, 4, 1)
    assert values(dataset, "caption_x_reason") == ["empty", "empty", "empty", "unreadable", "empty"]


def test_a_batch_that_does_not_fit_is_halved(
    dataset: Dataset, blip: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write, sizes = Captioner._write, []

    def limited(self: Captioner, clips: list[object]) -> list[str]:
        sizes.append(len(clips))
        if len(clips) > 1:
            raise torch.OutOfMemoryError("no memory")
        return write(self, clips)  # type: ignore[arg-type]

    expected = values(dataset, run(dataset, blip).column)
    monkeypatch.setattr(Captioner, "_write", limited)
    report = run(dataset, blip, name="x", batch=3)
    assert values(dataset, report.column) == expected
    assert sizes == [3, 1, 1, 1, 1]
    assert "memory does not suffice for 3 clips: 1 at a time" in caplog.text

    def never(self: Captioner, clips: list[object]) -> list[str]:
        raise torch.OutOfMemoryError("no memory")

    monkeypatch.setattr(Captioner, "_write", never)
    with pytest.raises(AnimaticError, match="does not suffice for one clip"):
        run(dataset, blip, name="y", batch=2)


def test_training_reads_them_and_the_tables_where_there_is_none(dataset: Dataset, blip: Path) -> None:
    column = run(dataset, blip, only_missing=True).column
    written = values(dataset, column)[1]
    source = WeightedDataset(dataset, captions=Captions(sources=["table", column]))
    loader = ClipLoader([source], ClipSampling(frames=3, height=32, width=48), seed=0, global_batch=1)
    batches = itertools.islice(iter(loader), 3)
    found = {batch.keys[0]: batch.captions[0] for batch in batches}
    texts = ["first", written, "third", "", "fifth"]
    assert found == {key: texts[int(key[-1])] for key in found}


def test_images_of_stage_one_are_captioned(blip: Path, tmp_path: Path) -> None:
    with webdataset.TarWriter(str(tmp_path / "00000.tar")) as writer:
        for n in range(3):
            picture = io.BytesIO()
            Image.new("RGB", (96, 64), (80 * n, 10, 200)).save(picture, "JPEG")
            writer.write({"__key__": str(n), "jpg": picture.getvalue(), "txt": f"picture {n}"})
    index_images(tmp_path)
    dataset = Dataset.open(tmp_path)
    report = run(dataset, blip)
    assert (report.samples, report.captioned) == (3, 3)


def test_captions_follow_a_takedown(dataset: Dataset, blip: Path) -> None:
    column = run(dataset, blip).column
    before = values(dataset, column)
    take_down(dataset.url, ["1"], date="2026-11-26T12:00:00+00:00")
    smaller = Dataset.open(dataset.url)
    assert values(smaller, column) == [before[0], *before[2:]]
    assert run(smaller, blip).made_units == 0


def test_a_shard_that_is_not_the_datasets_ends_the_job(dataset: Dataset, blip: Path) -> None:
    shard = Path(dataset.url) / dataset.info["shards"][1]["name"]
    shard.write_bytes(shard.read_bytes()[:-1000])
    with pytest.raises(AnimaticError, match="shard-000001"):
        run(dataset, blip)
    assert stored_columns(dataset.folder) == []


@pytest.mark.parametrize("name", ["Upper", "", "x" * 60, "x_reason", "a b", "caption_"])
def test_a_name_that_no_column_can_have_is_refused(name: str) -> None:
    with pytest.raises(AnimaticError, match="cannot name a column of captions"):
        _ = CaptionConfig(dataset="d", model="m", name=name).column


def test_a_folder_name_becomes_part_of_a_columns_name() -> None:
    def column(model: str) -> str:
        return CaptionConfig(dataset="d", model=model).column

    assert column("/m/Qwen2.5-VL-7B-Instruct/") == "caption_qwen2_5_vl_7b_instruct"
    assert column("/m/模型") == "caption_model"
    assert len(column("/m/" + "x" * 200) + "_reason") == 64


@pytest.mark.slow
def test_workers_of_ray_write_the_same(dataset: Dataset, blip: Path, tmp_path: Path) -> None:
    column = run(dataset, blip).column
    other = tmp_path / "other"
    shutil.copytree(dataset.url, other, ignore=shutil.ignore_patterns("columns"))
    report = run(Dataset.open(other), blip, workers=2)
    assert (report.made_units, report.captioned) == (2, 4)
    assert values(Dataset.open(other), column) == values(dataset, column)
