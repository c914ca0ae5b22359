"""Several datasets in one sequence: exact shares, whole epochs of each, the same after every resume."""

import itertools
from collections import Counter

import pytest

from core.errors import AnimaticError
from pipelines.loader import ClipLoader, ClipSampling, WeightedDataset
from pipelines.loader.batching import BatchComposer
from pipelines.loader.mixture import BLOCK, Mixture, Weight
from tests.support.coded_clips import build_dataset
from training.batch_source import DatasetSource
from training.config import resolve

SAMPLING = ClipSampling(frames=2, height=32, width=48)


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mixed")
    spoil = lambda n, mp4: mp4[:500] if n == 1 else mp4  # noqa: E731
    return build_dataset(folder / "a", [12] * 3), build_dataset(folder / "b", [16] * 5, spoil)


def samples(mixture, count, start=0):
    return [mixture.at(start + n) for n in range(count)]


def positions(samples, dataset):
    return [sample.position for sample in samples if sample.dataset == dataset]


def test_every_block_has_the_exact_shares_and_no_dataset_has_gaps():
    mixture = Mixture({0: [3, 1, 0.5]}, seed=0)
    for block in range(3):
        counts = Counter(sample.dataset for sample in samples(mixture, BLOCK, block * BLOCK))
        assert (counts[0], counts[1], counts[2]) == (6667, 2222, 1111)
    whole = samples(mixture, 2 * BLOCK + 77)
    counts = mixture.counts(2 * BLOCK + 77)
    assert [positions(whole, dataset) for dataset in range(3)] == [list(range(count)) for count in counts]


def test_shares_hold_in_short_stretches_too_and_depend_on_the_seed():
    first, second = (samples(Mixture({0: [1, 1]}, seed), 400) for seed in (0, 1))
    assert first != second
    assert 150 < sum(sample.dataset for sample in first) < 250


def test_weights_change_at_a_step_and_no_dataset_has_gaps():
    def composed(*weights, steps=range(110)):
        composer = BatchComposer([[5], [9]], [8], weights, seed=4)
        return [sample for step in steps for sample in composer.compose(step, 0, 1).samples]

    changing = [Weight(0, 3), Weight(50, 0)], [Weight(0, 1), Weight(90, 2)]
    whole = composed(*changing)
    assert whole[:400] == composed([Weight(0, 3)], [Weight(0, 1)], steps=range(50))
    assert {sample.dataset for sample in whole[400:]} == {1}
    for dataset in range(2):
        found = positions(whole, dataset)
        assert found == list(range(len(found)))


def test_a_dataset_of_the_smallest_weight_is_sampled():
    mixture = Mixture({0: [1e6, 0, 1e6, 1]}, seed=0)
    counts = Counter(sample.dataset for sample in samples(mixture, BLOCK))
    assert counts == {0: 4999, 2: 5000, 3: 1}


def test_a_late_position_is_computed_without_counting():
    mixture = Mixture({0: [2, 1], 10_000_000: [1, 1]}, seed=0)
    assert sum(mixture.counts(10**9 + 5)) == 10**9 + 5
    dataset, position = mixture.at(10**9)
    assert position == mixture.counts(10**9)[dataset]


@pytest.mark.parametrize("weights", [[0, 0], [1, -1], [float("nan"), 1]])
def test_weights_must_be_positive(weights):
    with pytest.raises(AnimaticError, match="must not be negative"):
        Mixture({0: weights}, seed=0)


def loaded(datasets, count, **options):
    loader = ClipLoader(datasets, SAMPLING, seed=1, global_batch=4, max_failure_share=1, **options)
    return [
        list(
            zip(batch.captions, batch.seed.tolist(), [p.numpy().tobytes() for p in batch.pixels], strict=True)
        )
        for batch in itertools.islice(iter(loader), count)
    ]


def test_batches_are_the_same_for_all_ranks_threads_and_resumes(two):
    datasets = [WeightedDataset(two[0], [Weight(0, 1), Weight(4, 3)]), WeightedDataset(two[1])]
    whole = loaded(datasets, 8)
    for position in range(8):
        ranks = [loaded(datasets, 1, position=position, rank=r, world_size=2, threads=2)[0] for r in range(2)]
        assert [ranks[n % 2][n // 2] for n in range(4)] == whole[position]


def test_each_dataset_goes_through_its_own_epochs(two):
    loader = ClipLoader(
        [WeightedDataset(two[0]), WeightedDataset(two[1])],
        SAMPLING,
        seed=1,
        global_batch=4,
        max_failure_share=1,
    )
    list(itertools.islice(iter(loader), 10))
    composer = BatchComposer([[3], [5]], [4], [[Weight(0, 1)]] * 2, seed=1)
    assert loader.epoch == composer.counts(10)[0] // 3
    assert loader.samples_per_epoch == 8


def test_training_mixes_by_configuration(two, tmp_path):
    def source(*sets):
        size = ["model.height=32", "model.width=48", "model.frames=4", f"data.dataset={two[0].url}"]
        return DatasetSource(resolve(3, "tiny", [*size, *sets]))

    others = f"data.others=[{{dataset: {two[1].url}, weight: 2}}]"
    mixed = source(others, "data.weight=[[0, 1], [10, 4]]")
    batch = next(mixed.batches(0, 1, 0, 12))
    assert len(batch) == 12
    digests = {s.digest for s in (source(), source(others), mixed, source(others.replace("2}", "3}")))}
    assert len(digests) == 4
    assert source().digest == two[0].digest
    with pytest.raises(AnimaticError, match="increasing steps that start at 0"):
        source("data.weight=[[5, 1]]")
    with pytest.raises(AnimaticError, match="wieght"):
        source(others.replace("weight", "wieght"))
