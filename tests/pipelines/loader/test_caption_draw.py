"""Which caption a clip is trained with: of the table or of columns beside the dataset, drawn by its key."""

import itertools
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest
from pydantic import ValidationError

from core.errors import AnimaticError
from core.storage import Folder
from pipelines.dataset import Dataset
from pipelines.dataset.columns import write_column
from pipelines.dataset.latent_records import LatentKey
from pipelines.dataset.latents import Latents
from pipelines.loader import Captions, ClipLoader, ClipSampling, WeightedDataset
from pipelines.takedown import take_down
from tests.support.coded_clips import build_dataset
from training.batch_source import DatasetSource, takedowns_of
from training.config import resolve

SAMPLING = ClipSampling(frames=4, height=32, width=48)
SEVERAL = [["a0", "a1", "a2"], ["b0"], ["c0", "c1"], [""]]
WRITTEN = ["A", None, "", "D"]


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Clips with several captions, one, and an empty one; and a column with captions of two of them."""
    dataset = build_dataset(tmp_path_factory.mktemp("data") / "d", [12] * 4, captions=SEVERAL)
    write_column(dataset, "caption_model", pa.array(WRITTEN), {"dataset": dataset.digest, "model": "m"})
    write_column(dataset, "length", pa.array([1.0] * 4, pa.float32()), {"dataset": dataset.digest})
    return dataset


def drawn(dataset: Dataset, captions: Captions, epochs: int = 12, seed: int = 0) -> dict[str, list[str]]:
    """The captions of each clip, epoch after epoch, as batches have them."""
    loader = ClipLoader([WeightedDataset(dataset, captions=captions)], SAMPLING, seed=seed, global_batch=4)
    found: dict[str, list[str]] = {}
    for batch in itertools.islice(iter(loader), epochs):
        for key, caption in zip(batch.keys, batch.captions, strict=True):
            found.setdefault(key, []).append(caption)
    return found


def test_one_of_the_tables_captions_is_drawn_each_time(several: Dataset) -> None:
    found = drawn(several, Captions(), epochs=60)
    assert found == drawn(several, Captions(), epochs=60)
    assert found != drawn(several, Captions(), epochs=60, seed=1)
    assert Counter(found["clip-0000"]).keys() == {"a0", "a1", "a2"}
    assert min(Counter(found["clip-0000"]).values()) >= 10
    assert set(found["clip-0001"]) == {"b0"}
    assert set(found["clip-0002"]) == {"c0", "c1"}
    assert set(found["clip-0003"]) == {""}
    assert {key: set(texts) for key, texts in drawn(several, Captions(draw="first")).items()} == {
        f"clip-000{n}": {texts[0]} for n, texts in enumerate(SEVERAL)
    }


def test_the_first_source_with_a_caption_is_used(several: Dataset) -> None:
    found = drawn(several, Captions(sources=["caption_model", "table"]))
    assert [set(found[f"clip-000{n}"]) for n in range(4)] == [{"A"}, {"b0"}, {"c0", "c1"}, {"D"}]
    found = drawn(several, Captions(sources=["table", "caption_model"], draw="first"))
    assert [set(found[f"clip-000{n}"]) for n in range(4)] == [{"a0"}, {"b0"}, {"c0"}, {"D"}]
    assert set(drawn(several, Captions(sources=["caption_model"]))["clip-0001"]) == {""}


def test_sources_are_drawn_by_weight_where_they_have_a_caption(several: Dataset) -> None:
    captions = Captions(sources=["table", "caption_model"], weights=[1, 3], draw="first")
    found = drawn(several, captions, epochs=100)
    assert 60 < Counter(found["clip-0000"])["A"] < 90
    assert [set(found[f"clip-000{n}"]) for n in (1, 2, 3)] == [{"b0"}, {"c0"}, {"D"}]


def test_the_captions_change_nothing_else_about_the_samples(several: Dataset) -> None:
    def samples(captions: Captions) -> list[object]:
        loader = ClipLoader([WeightedDataset(several, captions=captions)], SAMPLING, seed=3, global_batch=4)
        batches = itertools.islice(iter(loader), 3)
        return [(b.keys, b.seed.tolist(), b.drop_text.tolist(), b.condition_index.tolist()) for b in batches]

    settings = [
        Captions(draw="first"),
        Captions(),
        Captions(sources=["caption_model", "table"], weights=[1, 2]),
    ]
    assert samples(settings[0]) == samples(settings[1]) == samples(settings[2])


def test_what_was_trained_on_names_the_captions_only_where_they_are_not_the_tables_first(
    several: Dataset, tmp_path: Path
) -> None:
    def digest(dataset: Dataset, **setting: object) -> str:
        return WeightedDataset(dataset, captions=Captions.model_validate(setting)).digest

    plain = build_dataset(tmp_path / "d", [12] * 4)
    assert digest(plain) == digest(plain, draw="first") == plain.digest
    assert "captions" not in WeightedDataset(plain).record()
    assert digest(several, draw="first") == several.digest
    record = WeightedDataset(several).record()
    assert record["captions"] == {
        "setting": {"sources": ["table"], "weights": None, "draw": "random"},
        "columns": {},
    }
    digests = [several.digest, digest(several), digest(several, sources=["caption_model"])]
    write_column(several, "caption_model", pa.array(WRITTEN), {"dataset": several.digest, "model": "other"})
    digests.append(digest(several, sources=["caption_model"]))
    assert len(set(digests)) == 4


def test_a_takedown_ends_a_state_that_the_run_knows(tmp_path: Path) -> None:
    dataset = build_dataset(tmp_path / "d", [12] * 4, sizes=[2, 2], captions=SEVERAL)
    sets = ["model.height=32", "model.width=48", "model.frames=4", f"data.dataset={dataset.url}"]
    before = DatasetSource(resolve(3, "tiny", sets)).digest
    take_down(dataset.url, ["1"], date="2026-11-26T12:00:00+00:00")
    source = DatasetSource(resolve(3, "tiny", sets))
    assert takedowns_of(source) == {before: "2026-11-26T12:00:00+00:00"}
    assert Dataset.open(dataset.url).samples["more_captions"].to_pylist() == [["a1", "a2"], ["c1"], None]


@pytest.mark.parametrize(
    ("sources", "count"),
    [(["table"], 1), (["caption_model"], 2), (["caption_model", "table"], 0)],
)
def test_clips_without_a_caption_are_counted_once(
    several: Dataset, sources: list[str], count: int, caplog: pytest.LogCaptureFixture
) -> None:
    drawn(several, Captions(sources=sources), epochs=3)
    warnings = [record.getMessage() for record in caplog.records if "no caption" in record.getMessage()]
    assert [text.partition(" ")[0] for text in warnings] == [str(count)] * bool(count)


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        (["captoin_model"], "has no column captoin_model beside it"),
        (["length"], "column length of .* holds float values, not captions"),
        (["Not a name"], "a column cannot be named"),
    ],
)
def test_a_source_that_cannot_be_used_is_an_error(several: Dataset, sources: list[str], message: str) -> None:
    with pytest.raises(AnimaticError, match=message):
        WeightedDataset(several, captions=Captions(sources=sources)).record()


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"sources": ["table", "table"]}, "each may be named once"),
        ({"sources": []}, "at least 1 item"),
        ({"weights": [1, 2]}, "2 numbers for 1 sources"),
        ({"weights": [0]}, "greater than 0"),
        ({"weights": [float("inf")]}, "finite"),
        ({"draw": "last"}, "'random' or 'first'"),
    ],
)
def test_a_setting_that_means_nothing_is_refused(setting: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Captions.model_validate(setting)


def test_text_features_of_one_caption_do_not_stand_for_several(several: Dataset, tmp_path: Path) -> None:
    def check(text: bool, **setting: object) -> None:
        key = LatentKey(height=32, width=48, codec="c", text="t" if text else None, clips=True, precision="")
        info = {"config": key.identity(), "digest": "d"}
        latents = Latents(Folder(tmp_path), info, None)  # type: ignore[arg-type]
        chosen = Captions.model_validate(setting)
        WeightedDataset(several, latents=latents, captions=chosen).check_sampling(SAMPLING)

    check(False)
    check(True, draw="first")
    for setting in ({}, {"sources": ["caption_model"]}):
        with pytest.raises(AnimaticError, match=r"encode without --text, or set data\.captions\.draw=first"):
            check(True, **setting)
