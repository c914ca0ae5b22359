"""What holds for every sample, order and mixture, whatever the settings, sizes, seeds and keys."""

import itertools
from fractions import Fraction

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from pipelines.loader.batching import BatchComposer
from pipelines.loader.bucket_schedule import BucketSchedule
from pipelines.loader.keyed_random import derive_key, keyed_permutation
from pipelines.loader.mixture import BLOCK, Mixture, Weight
from pipelines.loader.sampling import ClipSampling, SampleParams, draw_params
from pipelines.loader.shuffle import GlobalOrder, Permutation

SEEDS = st.integers(0, 2**31)
EPOCHS = st.integers(0, 1000)
KEYS = st.text(max_size=20)


@st.composite
def samplings(draw: st.DrawFn) -> ClipSampling:
    frames = draw(st.integers(1, 20))
    low = draw(st.integers(1, 8))
    rates = st.tuples(st.floats(0.5, 30), st.floats(0, 30)).map(lambda r: (r[0], r[0] + r[1]))
    conditions = st.sampled_from(["random", "first", "last"]) | st.integers(0, frames - 1)
    return ClipSampling(
        frames=frames,
        height=32,
        width=32,
        stride=(low, low + draw(st.integers(0, 8))),
        target_fps=draw(st.none() | rates),
        flip=draw(st.booleans()),
        condition=draw(conditions),
        drop_text=draw(st.floats(0, 0.3)),
        drop_image=draw(st.floats(0, 0.3)),
        drop_both=draw(st.floats(0, 0.3)),
        fps_condition=draw(st.sampled_from(["fps", "stride"])),
    )


def drawn(
    sampling: ClipSampling,
    seed: int = 0,
    epoch: int = 0,
    key: str = "k",
    *,
    frames: int = 99,
    fps: float = 24,
) -> SampleParams:
    return draw_params(sampling, seed, epoch, key, clip_frames=frames, clip_fps=fps)


@given(samplings(), SEEDS, EPOCHS, KEYS, st.integers(0, 200), st.floats(1, 60))
def test_a_sample_lies_within_its_clip_and_its_settings(
    sampling: ClipSampling, seed: int, epoch: int, key: str, longer: int, fps: float
) -> None:
    frames = sampling.frames + longer
    params = drawn(sampling, seed, epoch, key, frames=frames, fps=fps)
    indices = params.frame_indices
    assert len(indices) == params.frames == sampling.frames
    assert 0 <= indices[0] <= indices[-1] < frames
    low, high = sampling.strides(fps)
    fits = (frames - 1) // max(1, sampling.frames - 1)
    assert min(low, fits) <= params.stride <= high
    assert params.fps == (fps / params.stride if sampling.fps_condition == "fps" else params.stride)
    fixed = {"first": 0, "last": sampling.frames - 1, "random": params.condition_index}
    assert params.condition_index == fixed.get(sampling.condition, sampling.condition)
    assert 0 <= params.condition_index < sampling.frames
    assert 0 <= params.noise_seed < 2**63
    assert sampling.flip or not params.mirrored


@given(samplings(), st.lists(st.tuples(SEEDS, EPOCHS, KEYS), min_size=2, max_size=8, unique=True))
def test_draws_depend_on_seed_epoch_and_key_and_on_nothing_else(
    sampling: ClipSampling, keyed: list[tuple[int, int, str]]
) -> None:
    first, second = ([drawn(sampling, *each) for each in keyed] for _ in range(2))
    assert first == second
    assert len({params.noise_seed for params in first}) == len(keyed)


def test_every_part_of_the_key_changes_what_is_drawn() -> None:
    sampling = ClipSampling(frames=4, height=32, width=32, stride=(1, 9), flip=True)

    def draws(**changed: int) -> list[SampleParams]:
        return [drawn(sampling, **{"seed": 3, "epoch": 5, **changed}, key=f"k{n}") for n in range(40)]

    for changed in ({"seed": 4}, {"epoch": 6}):
        for name in ("start", "stride", "condition_index", "noise_seed", "mirrored"):
            before, after = ([getattr(p, name) for p in some] for some in (draws(), draws(**changed)))
            assert before != after, name


@given(st.floats(0, 0.4), st.floats(0, 0.3), st.floats(0, 0.3), st.integers(0, 10**6))
def test_dropped_conditions_follow_one_uniform_number(
    text: float, both: float, image: float, number: int
) -> None:
    """Text alone, then both, then the image alone, from 0 up, as in the published code."""
    shares = {"drop_text": text, "drop_both": both, "drop_image": image}
    none = drawn(ClipSampling(frames=2, height=32, width=32, drop_text=0, drop_both=0, drop_image=0))
    assert (none.drop_text, none.drop_image) == (False, False)
    params = drawn(ClipSampling(frames=2, height=32, width=32, **shares), key=str(number))
    # The fourth uniform number of the sample's generator, which no setting moves.
    uniform = _uniform(str(number))
    expected = (False, False)
    for share, dropped in ((text, (True, False)), (both, (True, True)), (image, (False, True))):
        if 0 <= uniform < share:
            expected = dropped
            break
        uniform -= share
    assume(abs(uniform) > 1e-9)
    assert (params.drop_text, params.drop_image) == expected


def _uniform(key: str) -> float:
    """The number that decides what is dropped, found by bisection of ``drop_text`` alone."""
    low, high = 0.0, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        only = ClipSampling(frames=2, height=32, width=32, drop_text=middle, drop_both=0, drop_image=0)
        low, high = (low, middle) if drawn(only, key=key).drop_text else (middle, high)
    return (low + high) / 2


@given(st.integers(1, 2000), st.binary(min_size=1, max_size=32))
def test_a_permutation_contains_every_element_once(size: int, key: bytes) -> None:
    permutation = Permutation(size, key)
    assert len(permutation) == size
    assert sorted(map(permutation.__getitem__, range(size))) == list(range(size))
    for outside in (-1, size):
        try:
            permutation[outside]
        except IndexError:
            continue
        raise AssertionError(f"position {outside} of {size}")


@given(
    st.lists(st.integers(0, 12), min_size=1, max_size=8).filter(any),
    st.integers(1, 9),
    SEEDS,
    st.integers(0, 3),
)
def test_an_epoch_contains_every_sample_once_for_any_shards_and_window(
    sizes: list[int], window: int, seed: int, epoch: int
) -> None:
    order, size = GlobalOrder(sizes, "digest", seed, window), sum(sizes)
    found = [order.at(epoch * size + offset) for offset in range(size)]
    assert {each.epoch for each in found} == {epoch}
    assert sorted(each.sample for each in found) == list(range(size))
    for offset in (0, size - 1):
        around = list(order.substitutes(epoch * size + offset, "key"))
        assert len(set(around)) == len(around)
        assert found[offset].sample in around


@given(st.lists(st.text(max_size=5), max_size=4), st.lists(st.text(max_size=5), max_size=4))
def test_a_key_depends_on_every_part_and_on_where_parts_end(one: list[str], other: list[str]) -> None:
    assume(all("\x1f" not in part for part in [*one, *other]))
    assume(one and other)
    assert (derive_key(*one) == derive_key(*other)) == (one == other)


@given(st.integers(0, 500), st.lists(st.integers(), max_size=3))
def test_a_keyed_permutation_contains_every_number_once(size: int, parts: list[int]) -> None:
    assert sorted(keyed_permutation(size, *parts).tolist()) == list(range(size))


WEIGHTS = st.lists(st.sampled_from([0, 0.001, 1, 2.5, 1e6]), min_size=1, max_size=4).filter(any)


@given(WEIGHTS, SEEDS, st.integers(0, 3 * BLOCK))
def test_datasets_of_a_mixture_have_their_shares_and_no_gaps(
    weights: list[float], seed: int, start: int
) -> None:
    mixture = Mixture({0: weights}, seed)
    positions = mixture.counts(start)
    for offset in range(50):
        dataset, position = mixture.at(start + offset)
        assert weights[dataset] > 0
        assert position == positions[dataset]
        positions[dataset] += 1
    assert positions == mixture.counts(start + 50)
    whole = mixture.counts(BLOCK)
    assert sum(whole) == BLOCK
    for weight, count in zip(weights, whole, strict=True):
        assert (count > 0) == (weight > 0)
        # To the nearest slot, except where slots go to datasets that would have none.
        assert abs(count - BLOCK * weight / sum(weights)) <= len(weights)


def test_blocks_of_a_mixture_have_orders_of_their_own() -> None:
    mixture = Mixture({0: [1, 1]}, seed=0)
    blocks = [[mixture.at(block * BLOCK + n).dataset for n in range(200)] for block in range(4)]
    assert all(one != other for one, other in itertools.combinations(blocks, 2))


@given(
    st.lists(st.integers(0, 1000), min_size=1, max_size=4).filter(any),
    st.integers(0, 10**7),
)
def test_buckets_have_their_shares_of_steps(shares: list[int], start: int) -> None:
    schedule = BucketSchedule({0: [Fraction(share) for share in shares]})
    counts = schedule.counts(start)
    assert sum(counts) == start
    for share, count in zip(shares, counts, strict=True):
        assert abs(count - Fraction(start * share, sum(shares))) <= len(shares)
    for step in range(start, start + 30):
        bucket, number = schedule.at(step)
        assert number == counts[bucket]
        assert shares[bucket] > 0
        counts[bucket] += 1


@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), min_size=1, max_size=3).filter(
        lambda clips: all(any(of) for of in clips)
    ),
    st.sampled_from([1, 2, 3, 4, 6]),
    SEEDS,
    st.integers(0, 500),
)
def test_ranks_share_every_batch_for_any_number_of_processes(
    clips: list[tuple[int, int]], world: int, seed: int, step: int
) -> None:
    composer = BatchComposer(clips, [12, 24], [[Weight(0, 1 + n)] for n in range(len(clips))], seed)
    whole = composer.compose(step, 0, 1)
    parts = [composer.compose(step, rank, world) for rank in range(world)]
    assert {part.bucket for part in parts} == {whole.bucket}
    merged = [parts[n % world].samples[n // world] for n in range(len(whole.samples))]
    assert merged == whole.samples
    assert len(whole.samples) == (12, 24)[whole.bucket]
    assert all(clips[sample.dataset][whole.bucket] > 0 for sample in whole.samples)
    taken = np.bincount([sample.dataset for sample in whole.samples], minlength=len(clips))
    assert composer.counts(step + 1) == (np.array(composer.counts(step)) + taken).tolist()
