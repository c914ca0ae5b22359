"""Buckets: clips sampled near their shape and length, all equally often, in one order for every reader."""

import itertools
import logging
from collections import Counter
from fractions import Fraction

import fsspec
import numpy as np
import pytest

from core.errors import AnimaticError
from core.storage import Folder
from pipelines.dataset import Dataset
from pipelines.dataset.cache_config import CacheConfig
from pipelines.loader import Bucket, ClipLoader, ClipSampling, Weight, WeightedDataset
from pipelines.loader.batching import BatchComposer
from pipelines.loader.bucket_schedule import BucketSchedule
from pipelines.loader.buckets import NO_BUCKET, assign_buckets
from tests.support.coded_clips import build_dataset, frame_numbers

SAMPLING = ClipSampling(frames=4, height=32, width=48, stride=(1, 2))
WIDE, LONG, TALL = (
    Bucket(height=32, width=64, frames=4, batch=4),
    Bucket(height=32, width=64, frames=10),
    Bucket(height=64, width=32, frames=6, batch=2),
)
BUCKETS = [WIDE, LONG, TALL]
GLOBAL_BATCH = 4
SHAPES = [(64, 96), (96, 64)]


def clips(*, heights, widths, frames, fps=24.0):
    arrays = np.broadcast_arrays(np.array(heights), np.array(widths), np.array(frames), np.array(fps))
    return dict(zip(("heights", "widths", "frames", "fps"), arrays, strict=True))


def test_a_clip_goes_to_the_nearest_shape_and_there_to_the_longest_it_has_frames_for():
    wide = clips(heights=64, widths=90, frames=[3, 4, 9, 10, 50])
    assert assign_buckets(BUCKETS, SAMPLING, **wide).tolist() == [NO_BUCKET, 0, 0, 1, 1]
    tall = clips(heights=96, widths=90, frames=[5, 6, 50])
    assert assign_buckets(BUCKETS, SAMPLING, **tall).tolist() == [NO_BUCKET, 2, 2]


def test_shapes_are_compared_by_ratio_and_ties_go_to_the_first():
    wide, tall = Bucket(height=32, width=64, frames=1), Bucket(height=64, width=32, frames=1)
    for buckets in ([wide, tall], [tall, wide]):
        shapes = clips(heights=[100, 101, 100, 1080], widths=[100, 100, 101, 1920], frames=1)
        chosen = [buckets[number] for number in assign_buckets(buckets, SAMPLING, **shapes)]
        assert chosen == [buckets[0], tall, wide, wide]


def test_frames_are_counted_by_the_rule_for_short_clips():
    skip = ClipSampling(frames=4, height=32, width=48, stride=(3, 6), short_clips="skip")
    lengths = clips(heights=1, widths=2, frames=[9, 10, 27, 28])
    assert assign_buckets(BUCKETS, skip, **lengths).tolist() == [NO_BUCKET, 0, 0, 1]


def test_images_go_to_a_bucket_of_any_length():
    images = SAMPLING.model_copy(update={"images_only": True})
    shapes = clips(heights=[1, 2], widths=[2, 1], frames=1)
    assert assign_buckets(BUCKETS, images, **shapes).tolist() == [0, 2]


@pytest.mark.parametrize("shares", [[1, 1], [3, 0, 1], [5, 1, 0.01, 2, 2], [1] * 12])
def test_every_bucket_has_its_share_of_any_stretch_of_steps(shares):
    schedule, whole = BucketSchedule({0: [Fraction(share) for share in shares]}), sum(shares)
    counts = [0] * len(shares)
    for step in range(1000):
        assert schedule.counts(step) == counts
        bucket, number = schedule.at(step)
        assert number == counts[bucket]
        counts[bucket] += 1
        assert all(abs(n - (step + 1) * s / whole) < 2 for n, s in zip(counts, shares, strict=True))


def test_a_bucket_with_one_step_in_millions_has_exactly_that():
    schedule = BucketSchedule({0: [Fraction(10**7 - 1), Fraction(1)]})
    assert schedule.counts(10**9) == [10**9 - 100, 100]
    step = 5 * 10**6 - 1
    assert [schedule.at(n).bucket for n in (step - 1, step, step + 1)] == [0, 1, 0]


def test_within_a_dataset_every_clip_is_used_equally_often_whatever_the_batch_sizes():
    clips, sizes = [[700, 40, 3], [10, 500, 0]], [4, 64, 8]
    composer = BatchComposer(clips, sizes, [[Weight(0, 1)], [Weight(0, 2), Weight(9000, 0.5)]], seed=0)
    used = Counter()
    for step in range(9000):
        bucket, samples = composer.compose(step, 0, 1)
        assert len(samples) == sizes[bucket]
        for dataset, position in samples:
            assert position == used[dataset, bucket]
            used[dataset, bucket] += 1
    whole = used.total()
    by_dataset = [sum(n for (d, _), n in used.items() if d == dataset) for dataset in range(2)]
    assert composer.counts(9000) == by_dataset
    for (dataset, bucket), number in used.items():
        share = (1 / 3, 2 / 3)[dataset] * clips[dataset][bucket] / sum(clips[dataset])
        assert number / whole == pytest.approx(share, rel=0.03, abs=3e-4)
    assert (1, 2) not in used
    later = composer.counts(29_000)
    assert (later[1] - by_dataset[1]) / (sum(later) - whole) == pytest.approx(1 / 3, rel=0.02)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Eleven wide clips, seven of them long; five tall ones, one too short; in five shards."""
    folder = tmp_path_factory.mktemp("buckets") / "data"
    lengths = [12, 7, 16, 12, 12, 7, 12, 7, 16, 5, 12, 7, 12, 7, 12, 12]
    shapes = [SHAPES[n in (2, 5, 9, 10, 14)] for n in range(len(lengths))]
    return build_dataset(folder, lengths, sizes=[4, 3, 2, 4, 3], shapes=shapes)


def loader(dataset, **options):
    options = {"seed": 1, "global_batch": GLOBAL_BATCH, "buckets": BUCKETS, **options}
    return ClipLoader(dataset, options.pop("sampling", SAMPLING), **options)


def batches(dataset, count, **options):
    return list(itertools.islice(iter(loader(dataset, **options)), count))


def samples(batch):
    each = zip(batch.keys, batch.fps.tolist(), batch.seed.tolist(), batch.pixels, strict=True)
    return [(*about, pixels.contiguous().numpy().tobytes()) for *about, pixels in each]


def test_a_batch_has_the_size_and_number_of_its_bucket(dataset):
    found = batches(dataset, 12)
    assert {batch.pixels.shape for batch in found} == {
        (4, 4, 3, 32, 64),
        (GLOBAL_BATCH, 10, 3, 32, 64),
        (2, 6, 3, 64, 32),
    }
    for batch in found:
        for pixels in batch.pixels:
            frames = frame_numbers(pixels.numpy())
            assert frames == list(range(frames[0], frames[-1] + 1, frames[1] - frames[0]))


def test_every_clip_belongs_to_one_bucket_and_is_used_there_once_an_epoch(dataset, caplog):
    with caplog.at_level(logging.WARNING):
        opened = loader(dataset)
    assert (opened.samples_per_epoch, opened.too_short) == (15, 1)
    assert "1 of 16" in caplog.text
    keys: dict[tuple, list[str]] = {}
    for batch in itertools.islice(iter(opened), 24):
        keys.setdefault(batch.pixels.shape[1:], []).extend(batch.keys)
    assert sorted(len(set(used)) for used in keys.values()) == [4, 4, 7]
    for used in keys.values():
        clips = len(set(used))
        for start in range(0, len(used) - clips + 1, clips):
            assert len(set(used[start : start + clips])) == clips
    assert len(set(itertools.chain(*keys.values()))) == 15
    assert opened.epoch == sum(map(len, keys.values())) // 15


@pytest.fixture(scope="module")
def expected(dataset):
    return [samples(batch) for batch in batches(dataset, 12)]


@pytest.mark.parametrize("world_size", [1, 2])
def test_the_order_depends_neither_on_ranks_nor_threads_nor_interruptions(dataset, expected, world_size):
    assert len({len(batch) for batch in expected}) == 2
    for position in range(12):
        ranks = [
            samples(batches(dataset, 1, position=position, rank=rank, world_size=world_size, threads=2)[0])
            for rank in range(world_size)
        ]
        merged = [ranks[n % world_size][n // world_size] for n in range(len(expected[position]))]
        assert merged == expected[position]


def test_four_ranks_continue_over_all_buckets_as_one(dataset):
    fours = [bucket.model_copy(update={"batch": 4}) for bucket in BUCKETS]
    whole = [samples(batch) for batch in batches(dataset, 8, buckets=fours)]
    ranks = [
        [samples(batch) for batch in batches(dataset, 8, buckets=fours, rank=rank, world_size=4, threads=3)]
        for rank in range(4)
    ]
    assert [[ranks[n][step][0] for n in range(4)] for step in range(8)] == whole


def test_mixed_datasets_with_changing_weights_resume_anywhere(dataset, tmp_path):
    other = build_dataset(tmp_path / "other", [12] * 3, shapes=[SHAPES[0]] * 3)
    datasets = [WeightedDataset(dataset, [Weight(0, 1), Weight(5, 3)]), WeightedDataset(other)]
    whole = [samples(batch) for batch in batches(datasets, 10)]
    for position in range(10):
        assert samples(batches(datasets, 1, position=position)[0]) == whole[position]


def test_a_clip_of_another_bucket_substitutes_where_a_bucket_has_none_that_can_be_read(tmp_path):
    shapes = [SHAPES[n == 3] for n in range(6)]
    spoil = lambda n, mp4: mp4[:500] if n == 3 else mp4  # noqa: E731
    dataset = build_dataset(tmp_path / "data", [12, 12, 5, 12, 12, 12], spoil, shapes=shapes)
    found = batches(dataset, 8, buckets=[WIDE, TALL], max_failure_share=1)
    tall = [batch for batch in found if batch.pixels.shape[-2] == 64]
    keys = {key for batch in tall for key in batch.keys}
    assert tall and keys <= {f"clip-{n:04d}" for n in (0, 1, 4, 5)}
    again = batches(dataset, 8, buckets=[WIDE, TALL], max_failure_share=1, threads=3)
    assert [samples(batch) for batch in again] == [samples(batch) for batch in found]


def test_stage_one_trains_on_images_in_their_shapes(dataset):
    images = SAMPLING.model_copy(update={"images_only": True})
    found = batches(dataset, 8, sampling=images)
    assert {batch.pixels.shape for batch in found} == {(4, 1, 3, 32, 64), (2, 1, 3, 64, 32)}


def test_all_buckets_read_the_same_fetched_shards(dataset, expected, tmp_path, monkeypatch):
    memory = fsspec.filesystem("memory")
    memory.put(str(dataset.folder.local_path), "/buckets", recursive=True)
    room = sum(shard["bytes"] for shard in dataset.info["shards"]) + 1
    fetched = []
    fetch = Folder.fetch
    monkeypatch.setattr(Folder, "fetch", lambda f, name, to: fetched.append(name) or fetch(f, name, to))
    cache = CacheConfig(folder=str(tmp_path), gigabytes=room / 1e9)
    found = batches(Dataset.open("memory://buckets"), 12, cache=cache, threads=2)
    assert [samples(batch) for batch in found] == expected
    assert sorted(fetched) == [f"shard-{n:06d}.tar" for n in range(5)]
    memory.rm("/buckets", recursive=True)


def test_a_bucket_without_clips_has_no_steps(dataset, caplog):
    square = Bucket(height=8, width=80, frames=4)
    with caplog.at_level(logging.WARNING):
        found = batches(dataset, 8, buckets=[*BUCKETS, square])
    assert "no clip belongs to bucket 8x80x4" in caplog.text
    assert not any(batch.pixels.shape[-1] == 80 for batch in found)


def test_batches_that_ranks_cannot_share_are_refused_by_name(dataset):
    with pytest.raises(AnimaticError, match="batch of 2 of bucket 64x32x6 cannot be shared by 4 workers"):
        loader(dataset, world_size=4)


def test_no_clip_for_any_bucket_is_an_error(dataset):
    with pytest.raises(AnimaticError, match="none of its 16 clips has the 40 frames"):
        loader(dataset, buckets=[Bucket(height=32, width=64, frames=40)])
