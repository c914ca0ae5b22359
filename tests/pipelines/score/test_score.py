"""Image–text similarity: scores beside the dataset, reused while they are current, used to select clips."""

import itertools
import json
import shutil

import numpy as np
import pyarrow as pa
import pytest

from core.errors import AnimaticError
from pipelines.dataset import Dataset
from pipelines.dataset.columns import CLIP_SIMILARITY, column_source, write_column
from pipelines.loader import ClipLoader, ClipSampling, Selection, WeightedDataset
from pipelines.score import ScoreConfig, score
from tests.support.coded_clips import build_dataset
from tests.support.columns import values_of
from training.config import resolve
from training.config.identity import config_hash

ENCODERS = resolve(3, "tiny").model.encoders
SAMPLING = ClipSampling(frames=4, height=32, width=48)
COUNT = 7


def config_of(dataset, **changes):
    return ScoreConfig(
        **({"dataset": str(dataset.url), "encoders": ENCODERS, "batch": 2, "workers": 0} | changes)
    )


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    dataset = build_dataset(tmp_path_factory.mktemp("data") / "whole", [12] * COUNT, sizes=[3, 2, 2])
    report = score(config_of(dataset, workers=2))
    return dataset, report


def keys_shown(dataset, selection, batches=COUNT):
    source = WeightedDataset(dataset, selection=selection)
    loader = ClipLoader([source], SAMPLING, seed=0, global_batch=1)
    return [batch.keys[0] for batch in itertools.islice(iter(loader), batches)], loader


def test_scores_have_the_order_of_the_dataset_and_leave_it_unchanged(scored):
    dataset, report = scored
    assert Dataset.open(dataset.url).digest == dataset.digest
    scores = values_of(dataset)
    assert len(scores) == report.samples == COUNT
    figures = report.columns[CLIP_SIMILARITY]
    assert figures.failed == 0
    assert (figures.least, figures.most) == (pytest.approx(scores.min()), pytest.approx(scores.max()))
    assert -1 <= figures.least < figures.most <= 1  # captions differ, so do their scores
    units = [
        json.loads((dataset.folder.local_path / f"columns/clip_similarity/unit-00000{n}.json").read_text())
        for n in range(3)
    ]
    assert [score for unit in units for score in unit["values"]] == pytest.approx(scores.tolist())


def test_scores_do_not_depend_on_workers_and_batches(scored, tmp_path):
    dataset, _ = scored
    other = build_dataset(tmp_path / "whole", [12] * COUNT)
    score(config_of(other, batch=5))
    np.testing.assert_allclose(values_of(other), values_of(dataset), atol=2e-6)


def test_an_interrupted_job_keeps_finished_units(scored):
    dataset, report = scored
    folder = dataset.folder.local_path
    (folder / "clip_similarity.parquet").unlink()
    kept = folder / "columns/clip_similarity/unit-000000.json"
    marked = json.loads(kept.read_text())
    whole = kept.read_bytes()
    kept.write_text(json.dumps(marked | {"values": [0.5, *marked["values"][1:]]}))
    (folder / "columns/clip_similarity/unit-000001.json").unlink()
    seen = []
    score(config_of(dataset), lambda done, total: seen.append((done, total)))
    assert seen == [(5, COUNT), (COUNT, COUNT)]
    assert values_of(dataset)[0] == 0.5  # reused, not computed again
    kept.write_bytes(whole)
    (folder / "clip_similarity.parquet").unlink()
    again = score(config_of(dataset))
    units = len(dataset.info["shards"])
    assert (again.columns, again.made_units, again.skipped_units) == (report.columns, 0, units)


def test_unit_scores_of_earlier_versions_are_adopted(tmp_path):
    dataset = build_dataset(tmp_path / "data", [12, 12], sizes=[1, 1])
    score(config_of(dataset))
    folder = tmp_path / "data"
    weights = column_source(dataset.folder, CLIP_SIMILARITY)["weights"]
    table = folder / "clip_similarity.parquet"
    before = table.read_bytes()
    table.unlink()
    (folder / "similarity").mkdir()
    for n in range(2):
        unit = json.loads((folder / f"columns/clip_similarity/unit-00000{n}.json").read_text())
        earlier = {"shard": unit["shard"], "weights": weights, "scores": unit["values"]}
        (folder / f"similarity/unit-00000{n}.json").write_text(json.dumps(earlier))
    shutil.rmtree(folder / "columns")
    assert score(config_of(dataset)).made_units == 0
    assert table.read_bytes() == before
    assert not (folder / "similarity").exists()


def test_training_selects_by_score(scored):
    dataset, report = scored
    scores = values_of(dataset)
    median = report.columns[CLIP_SIMILARITY].median
    selection = Selection(min_clip_similarity=median)
    shown, loader = keys_shown(dataset, selection)
    good = {f"clip-{n:04d}" for n in range(COUNT) if scores[n] >= median}
    assert 0 < len(good) < COUNT
    assert set(shown) == good
    assert loader.left_out == COUNT - len(good)
    assert keys_shown(dataset, Selection())[1].left_out == 0
    with pytest.raises(AnimaticError, match="not one of its 7 clips passes"):
        keys_shown(dataset, Selection(min_clip_similarity=1.0))


def test_a_clip_without_a_score_does_not_pass_any_threshold(tmp_path):
    dataset = build_dataset(tmp_path / "data", [12] * 4)
    scores = np.array([0.3, np.nan, -1.0, 0.1], np.float32)
    write_column(dataset, CLIP_SIMILARITY, pa.array(scores, from_pandas=True), {"dataset": dataset.digest})
    for least, passing in ((-1.0, {0, 2, 3}), (0.1, {0, 3}), (0.11, {0})):
        selection = Selection(min_clip_similarity=least)
        chosen = WeightedDataset(dataset, selection=selection).selected()
        assert set(chosen) == passing
    shown, loader = keys_shown(dataset, Selection(min_clip_similarity=-1.0), 9)
    assert set(shown) == {"clip-0000", "clip-0002", "clip-0003"}
    assert loader.left_out == 1


def test_the_selection_is_part_of_the_data_digest(scored):
    dataset, _ = scored
    assert WeightedDataset(dataset).digest == dataset.digest
    selections = [Selection(min_clip_similarity=least) for least in (-1.0, 0.0)]
    digests = {WeightedDataset(dataset, selection=selection).digest for selection in selections}
    assert len(digests | {dataset.digest}) == 3
    plain, chosen = resolve(3, "tiny"), resolve(3, "tiny", ["data.selection.min_clip_similarity=0.2"])
    assert config_hash(plain) != config_hash(chosen)


def test_scores_of_another_state_of_the_dataset_are_refused(scored, tmp_path):
    dataset, _ = scored
    with pytest.raises(AnimaticError, match=r"has no column clip_similarity .*run `animatic score"):
        keys_shown(build_dataset(tmp_path / "new", [12, 12]), Selection(min_clip_similarity=0))
    other = build_dataset(tmp_path / "other", [12] * COUNT)
    shutil.copy(dataset.folder.local_path / "clip_similarity.parquet", tmp_path / "other")
    with pytest.raises(AnimaticError, match="is of an earlier state of the dataset"):
        keys_shown(other, Selection(min_clip_similarity=0))


def test_an_unreadable_shard_is_an_error_and_not_an_unreadable_image(tmp_path):
    dataset = build_dataset(tmp_path / "data", [12, 12])
    tar = tmp_path / "data/shard-000000.tar"
    whole = tar.read_bytes()
    tar.write_bytes(whole[:1000])
    with pytest.raises(AnimaticError, match=r"shard-000000.tar is cut; run `animatic verify"):
        score(config_of(dataset))
    tar.unlink()
    with pytest.raises(AnimaticError, match=r"shard-000000.tar cannot be read"):
        score(config_of(dataset))
    tar.write_bytes(whole)
    assert score(config_of(dataset)).columns[CLIP_SIMILARITY].failed == 0


def test_scores_written_by_another_model_meanwhile_are_an_error(tmp_path):
    dataset = build_dataset(tmp_path / "data", [12, 12], sizes=[1, 1])
    score(config_of(dataset))
    unit = tmp_path / "data/columns/clip_similarity/unit-000000.json"
    of_one = unit.read_bytes()
    other = config_of(dataset, encoders=ENCODERS.model_copy(update={"seed": 1}))
    with pytest.raises(AnimaticError, match=r"unit-000000.json is of another source"):
        score(other, lambda done, total: done and unit.write_bytes(of_one))
    assert score(other).samples == 2


def test_missing_weights_are_named(scored):
    dataset, _ = scored
    encoders = ENCODERS.model_copy(update={"kind": "open_clip", "model": "ViT-B-32"})
    with pytest.raises(AnimaticError, match="ViT-B-32"):
        score(config_of(dataset, encoders=encoders))
