"""Near-duplicates of a dataset: columns beside it, of embeddings that stay, searched where it changed."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from core.errors import AnimaticError
from pipelines.dataset import Dataset
from pipelines.dataset.columns import read_column, stored_columns
from pipelines.dataset.dataset_record import read_dataset_record, write_dataset_record
from pipelines.dataset.embeddings import UnitEmbeddings, embeddings_file, write_embeddings
from pipelines.similar import SimilarConfig, find_similar
from pipelines.similar.block_search import BlockSearcher, BlockStep
from pipelines.similar.stored_blocks import Blocks
from pipelines.similar.wavefront import Wavefront
from pipelines.takedown import take_down
from tests.support.alike import embeddings, leaders
from tests.support.coded_clips import build_dataset
from training.config import resolve

ENCODERS = resolve(3, "tiny").model.encoders
LENGTHS = [8, 24, 8, 40, 24, 8, 16]  # clips of equal length are equal
FOUND = [None, None, "clip-0000", None, "clip-0001", "clip-0000", None]


def config_of(dataset: Dataset, **changes: object) -> SimilarConfig:
    values = {"dataset": dataset.url, "encoders": ENCODERS, "batch": 2, "workers": 0, "threshold": 0.9999999}
    return SimilarConfig(**(values | changes))


def found(dataset: Dataset) -> list[str | None]:
    return read_column(dataset, "similar_to").values.to_pylist()


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """The fourth clip cannot be decoded."""
    dataset = build_dataset(
        tmp_path_factory.mktemp("similar") / "data",
        LENGTHS,
        lambda n, mp4: mp4[:200] if n == 3 else mp4,
        sizes=[3, 2, 2],
    )
    report = find_similar(config_of(dataset))
    assert (report.samples, report.similar, report.failed) == (7, 3, 1)
    assert (report.made_units, report.skipped_units) == (3, 0)
    return dataset


def copied(dataset: Dataset, folder: Path) -> Path:
    return Path(shutil.copytree(dataset.url, folder / "data"))


def test_equal_clips_are_similar_to_the_first_of_them(searched: Dataset) -> None:
    assert Dataset.open(searched.url).digest == searched.digest
    assert found(searched) == FOUND
    similarity = read_column(searched, "similarity")
    assert similarity.values.to_pylist() == [1, 1, 1, None, 1, 1, 1]
    assert (similarity.source["threshold"], similarity.source["frames"]) == ("0.9999999", "4")
    again = find_similar(config_of(searched, batch=5))
    assert (again.made_units, again.similar) == (0, 3)


def test_another_threshold_reuses_the_embeddings(searched: Dataset, tmp_path: Path) -> None:
    folder = copied(searched, tmp_path)
    for tar in folder.glob("*.tar"):
        tar.unlink()
    other = Dataset.open(folder)
    report = find_similar(config_of(other, threshold=0.1))
    assert (report.made_units, report.similar) == (0, 5)
    assert set(found(other)) == {None, "clip-0000"}
    with pytest.raises(AnimaticError, match="cannot be read"):
        find_similar(config_of(other, frames=2))


@pytest.mark.parametrize("block", [1, 2, 5])
def test_the_size_of_blocks_changes_nothing(searched: Dataset, tmp_path: Path, block: int) -> None:
    folder = copied(searched, tmp_path)
    shutil.rmtree(folder / "columns")
    other = Dataset.open(folder)
    find_similar(config_of(other, block=block))
    for name in ("similar_to", "similarity"):
        assert read_column(other, name).values.equals(read_column(searched, name).values)


def test_a_dataset_that_has_grown_is_searched_from_its_new_shards_on(tmp_path: Path) -> None:
    whole = build_dataset(tmp_path / "whole", LENGTHS, sizes=[3, 2, 2])
    part = build_dataset(tmp_path / "part", LENGTHS[:5], sizes=[3, 2])
    find_similar(config_of(part, block=2))
    for name in ("embeddings", "similar"):
        shutil.copytree(tmp_path / "part" / name, tmp_path / "whole" / name)
    files = sorted((tmp_path / "whole/similar").iterdir())
    before = [path.stat().st_ino for path in files]
    assert find_similar(config_of(whole, block=2)).made_units == 1
    assert found(whole) == FOUND
    # The last block had one sample, and has two now.
    assert [path.stat().st_ino == inode for path, inode in zip(files, before, strict=True)] == [
        True,
        True,
        False,
    ]


def test_embeddings_follow_a_takedown_and_lost_leaders_need_a_new_search(
    searched: Dataset, tmp_path: Path
) -> None:
    folder = copied(searched, tmp_path)
    take_down(str(folder), ["0"], reason="asked for", date="2026-11-26T12:00:00+00:00")
    with pytest.raises(AnimaticError, match="is of an earlier state of the dataset: run `animatic similar"):
        found(Dataset.open(folder))
    report = find_similar(config_of(Dataset.open(folder)))
    assert (report.made_units, report.similar) == (0, 2)
    assert found(Dataset.open(folder)) == [None, None, None, "clip-0001", "clip-0002", None]
    take_down(str(folder), ["4"], reason="asked for", date="2026-11-27T12:00:00+00:00")
    assert found(Dataset.open(folder)) == [None, None, None, "clip-0002", None]


def test_nothing_is_stored_for_a_dataset_that_is_changed_meanwhile(searched: Dataset, tmp_path: Path) -> None:
    folder = copied(searched, tmp_path)
    for name in ("columns", "similar"):
        shutil.rmtree(folder / name)
    dataset = Dataset.open(folder)

    def change(done: int, total: int) -> None:
        if done == total:  # everything is searched
            info = read_dataset_record(dataset.folder)
            config = {**info["config"], "changed": True}
            write_dataset_record(dataset.folder, config, info["counts"], list(info["shards"]), info["files"])

    with pytest.raises(AnimaticError, match="was changed meanwhile"):
        find_similar(config_of(dataset), change)
    assert stored_columns(dataset.folder) == []


def test_damaged_files_are_made_again(searched: Dataset, tmp_path: Path) -> None:
    folder = copied(searched, tmp_path)
    shutil.rmtree(folder / "columns")
    (folder / embeddings_file(0)).write_bytes(b"ARROW1\0\0nonsense")
    (folder / "similar/block-000000.arrow").write_bytes(b"")
    assert find_similar(config_of(Dataset.open(folder))).made_units == 1
    assert found(Dataset.open(folder)) == FOUND


def planted_blocks(dataset: Dataset, stored: np.ndarray, known: np.ndarray, size: int) -> Blocks:
    """Blocks over embeddings that no network has computed."""
    start = 0
    for unit, shard in enumerate(dataset.info["shards"]):
        rows = slice(start, start + shard["samples"])
        write_embeddings(dataset.folder, unit, shard, "planted", UnitEmbeddings(stored[rows], known[rows]))
        start += shard["samples"]
    return Blocks(dataset.folder, dataset.info["shards"], "planted", 0.9, size)


def run_out_of_order(blocks: Blocks, finished: int, ahead: int, seed: int) -> int:
    """Do the steps of a search as many workers would: results come in any order. Returns the most at once."""
    rng = np.random.default_rng(seed)
    searcher = BlockSearcher(blocks, np.zeros((16, 0)), "cpu")
    wavefront = Wavefront(blocks, finished, ahead)
    running: list[BlockStep] = []
    most = 0
    while True:
        while (step := wavefront.next_step()) is not None:
            running.append(step)
        most = max(most, len(running))
        if not running:
            return most
        wavefront.done(searcher.make(running.pop(int(rng.integers(len(running))))))


def all_leaders(blocks: Blocks) -> list[int]:
    stored = [blocks.read(block) for block in range(len(blocks))]
    return [leader for part in stored if part is not None for leader in part.leader.tolist()]


def test_many_workers_find_the_same_in_any_order_and_after_an_interruption(tmp_path: Path) -> None:
    count = 90
    dataset = build_dataset(tmp_path / "data", [2] * count, sizes=[40, 7, 43])
    stored, known = embeddings(count, 16, seed=2, planted=40), np.ones(count, np.bool_)
    known[[0, 13, 50]] = False
    blocks = planted_blocks(dataset, stored, known, size=4)
    assert run_out_of_order(blocks, finished=0, ahead=6, seed=0) > 3
    numbers = np.flatnonzero(known)
    expected = np.full(count, -1)
    expected[numbers] = numbers[leaders(stored[known], 0.9)]
    assert all_leaders(blocks) == expected.tolist()
    assert 10 < (expected != np.arange(count)).sum() < 80
    run_out_of_order(blocks, finished=9, ahead=3, seed=1)
    assert all_leaders(blocks) == expected.tolist()


@pytest.mark.parametrize("sizes", [[], [0], [0, 2, 0], [2, 0]])
def test_shards_without_samples_and_clips_without_embeddings(tmp_path: Path, sizes: list[int]) -> None:
    count = sum(sizes)
    dataset = build_dataset(tmp_path / "data", [2] * count, lambda n, mp4: mp4[:99], sizes=sizes)
    report = find_similar(config_of(dataset, block=1))
    assert (report.samples, report.failed, report.similar) == (count, count, 0)
    assert found(dataset) == [None] * count


@pytest.mark.slow
def test_actors_find_the_same(searched: Dataset, tmp_path: Path) -> None:
    folder = copied(searched, tmp_path)
    for name in ("columns", "embeddings", "similar"):
        shutil.rmtree(folder / name)
    other = Dataset.open(folder)
    assert find_similar(config_of(other, workers=2, block=2)).made_units == 3
    assert found(other) == FOUND
