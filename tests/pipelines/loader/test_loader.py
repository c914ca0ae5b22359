"""Batches: the same for every world size and after every resume, exact frames, counted failures."""

import io
import itertools
import logging
from collections import Counter
from pathlib import Path

import pytest
import torch
from PIL import Image

from core.errors import AnimaticError
from core.storage import Folder
from pipelines.dataset import Dataset
from pipelines.dataset.clip_units import commit_clips
from pipelines.dataset.commit import commit_dataset
from pipelines.dataset.samples import Sample
from pipelines.loader import ClipLoader, ClipSampling, sample_reader
from pipelines.loader.sampling import draw_params
from tests.support.coded_clips import HEIGHT, WIDTH, build_dataset, frame_numbers

SAMPLING = ClipSampling(frames=4, height=32, width=48, stride=(1, 3))
CLIPS = 23
GLOBAL_BATCH = 4


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return build_dataset(tmp_path_factory.mktemp("data") / "whole", [12, 16, 20] * 7 + [12, 5])


def damage(*indices):
    return lambda n, mp4: mp4[: len(mp4) // 3] if n in indices else mp4


@pytest.fixture(scope="module")
def damaged(tmp_path_factory):
    """One clip in 23 cut off: just under the share that stops a run."""
    return build_dataset(tmp_path_factory.mktemp("data") / "damaged", [12] * CLIPS, damage(5))


def batches(dataset, count, **options):
    options = {"seed": 1, "global_batch": GLOBAL_BATCH, **options}
    loader = ClipLoader(dataset, options.pop("sampling", SAMPLING), **options)
    return list(itertools.islice(iter(loader), count)), loader


def samples(batch):
    """A batch as a list of comparable samples, every field included."""
    return [
        (
            batch.keys[n],
            batch.captions[n],
            batch.fps[n].item(),
            batch.condition_index[n].item(),
            batch.drop_text[n].item(),
            batch.drop_image[n].item(),
            batch.seed[n].item(),
            batch.pixels[n].numpy().tobytes(),
        )
        for n in range(len(batch.keys))
    ]


def sequence(dataset, count, **options):
    return [sample for batch in batches(dataset, count, **options)[0] for sample in samples(batch)]


@pytest.fixture(scope="module")
def expected(dataset):
    return sequence(dataset, 14)  # 56 samples: over two epoch boundaries


@pytest.mark.parametrize("world_size", [2, 4])
@pytest.mark.parametrize("threads", [1, 3])
def test_ranks_together_see_the_same_samples_bit_for_bit(dataset, expected, world_size, threads):
    ranks = [
        batches(dataset, 14, rank=rank, world_size=world_size, threads=threads)[0]
        for rank in range(world_size)
    ]
    merged = [
        samples(ranks[position % world_size][batch])[position // world_size]
        for batch in range(14)
        for position in range(GLOBAL_BATCH)
    ]
    assert merged == expected


@pytest.mark.parametrize("position", [1, 5, 6, 9, 13])
def test_resume_continues_bit_for_bit(dataset, expected, position):
    assert sequence(dataset, 14 - position, position=position) == expected[position * GLOBAL_BATCH :]


def test_resume_exactly_on_an_epoch_boundary_and_on_another_world_size(tmp_path):
    dataset = build_dataset(tmp_path / "even", [12] * 8)
    whole = sequence(dataset, 4)
    _, first = batches(dataset, 2)
    assert (first.position, first.epoch) == (2, 1)
    resumed = [batches(dataset, 2, position=2, rank=r, world_size=2)[0] for r in range(2)]
    merged = [samples(resumed[n % 2][b])[n // 2] for b in range(2) for n in range(4)]
    assert merged == whole[8:]


@pytest.fixture(scope="module")
def sharded(tmp_path_factory):
    """Twelve clips in five shards: three windows of at most two shards, three global batches an epoch."""
    folder = tmp_path_factory.mktemp("data") / "sharded"
    return build_dataset(folder, [12, 16, 20] * 4, damage(7), sizes=[3, 2, 3, 1, 3])


@pytest.mark.parametrize("world_size", [1, 2, 4])
def test_an_interruption_at_any_step_changes_nothing_on_any_number_of_ranks(sharded, world_size):
    options = {"shuffle_shards": 2, "max_failure_share": 1, "threads": 2}
    whole = sequence(sharded, 7, **options)
    assert len({sample[0] for sample in whole[:12]}) == 11  # one is damaged
    for position in range(7):  # epochs begin at 3 and 6
        parts = [
            sequence(sharded, 1, position=position, rank=rank, world_size=world_size, **options)
            for rank in range(world_size)
        ]
        merged = [parts[n % world_size][n // world_size] for n in range(4)]
        assert merged == whole[position * 4 : position * 4 + 4]


def test_resuming_at_sample_ten_million_reads_only_that_batch(sharded, monkeypatch):
    read = []
    read_clip = sample_reader.read_clip
    monkeypatch.setattr(sample_reader, "read_clip", lambda *a: read.append(1) or read_clip(*a))
    loader = ClipLoader(sharded, SAMPLING, seed=1, global_batch=4, position=2_500_000, shuffle_shards=2)
    batches = iter(loader)
    next(batches)
    batches.close()
    assert loader.epoch == 10_000_004 // 12
    # The batch, the two that were begun behind it, and substitutes for the damaged clip.
    assert 4 <= len(read) <= 3 * 4 + 2


def test_every_clip_is_used_once_per_epoch(dataset):
    keys = [sample[0] for sample in sequence(dataset, 3 * CLIPS // GLOBAL_BATCH)]
    for epoch in range(2):
        assert Counter(keys[epoch * CLIPS : (epoch + 1) * CLIPS]) == Counter(
            f"clip-{n:04d}" for n in range(CLIPS)
        )
    assert keys[:CLIPS] != keys[CLIPS : 2 * CLIPS]


def test_a_batch_has_the_frames_of_its_parameters(dataset):
    lengths = dataset.samples.column("frames").to_pylist()
    for batch in batches(dataset, 6)[0]:
        assert batch.pixels.shape == (GLOBAL_BATCH, 4, 3, 32, 48)
        assert batch.pixels.dtype == torch.uint8
        for n, key in enumerate(batch.keys):
            frames = frame_numbers(batch.pixels[n].numpy())
            stride = frames[1] - frames[0]
            assert frames == [frames[0] + stride * step for step in range(4)]
            assert batch.fps[n].item() == pytest.approx(12.0 / stride)
            assert frames[-1] < lengths[int(key[-4:])]
            assert 0 <= batch.condition_index[n] < 4
            assert batch.captions[n] == f"caption {int(key[-4:])}"


@pytest.mark.parametrize("seed", [1, 2])
def test_a_batch_has_the_parameters_drawn_for_each_of_its_samples(dataset, seed):
    often = {"drop_text": 0.3, "drop_image": 0.4, "drop_both": 0.1}
    sampling = SAMPLING.model_copy(update=often)
    lengths = dict(
        zip(dataset.samples["key"].to_pylist(), dataset.samples["frames"].to_pylist(), strict=True)
    )
    kinds = Counter()
    for number, batch in enumerate(batches(dataset, 12, sampling=sampling, seed=seed)[0]):
        for n, key in enumerate(batch.keys):
            epoch = (number * GLOBAL_BATCH + n) // CLIPS
            drawn = draw_params(sampling, seed, epoch, key, clip_frames=lengths[key], clip_fps=12.0)
            found = {
                "condition_index": batch.condition_index[n].item(),
                "drop_text": batch.drop_text[n].item(),
                "drop_image": batch.drop_image[n].item(),
                "noise_seed": batch.seed[n].item(),
            }
            assert found == {name: getattr(drawn, name) for name in found}
            assert batch.fps[n].item() == pytest.approx(drawn.fps)
            assert frame_numbers(batch.pixels[n].numpy()) == drawn.frame_indices
            kinds[drawn.drop_text, drawn.drop_image] += 1
    assert len(kinds) == 4


def test_a_substitute_is_sampled_otherwise_than_in_its_own_turn(damaged):
    whole = [sample for batch in batches(damaged, 2 * CLIPS // GLOBAL_BATCH)[0] for sample in samples(batch)]
    for epoch in (whole[:CLIPS], whole[CLIPS : 2 * CLIPS]):
        [twice] = {key for key, count in Counter(sample[0] for sample in epoch).items() if count == 2}
        one, other = (sample for sample in epoch if sample[0] == twice)
        assert one[6] != other[6]  # the seed of the noise
    # Every sample, the substitutes included, has noise of its own.
    assert len({sample[6] for sample in whole}) == len(whole)


def test_a_narrow_target_is_cut_from_the_middle(dataset):
    square = ClipSampling(frames=2, height=32, width=32, stride=(1, 1))
    wide = ClipSampling(frames=2, height=32, width=48, stride=(1, 1))
    (cut,), (full,) = batches(dataset, 1, sampling=square)[0], batches(dataset, 1, sampling=wide)[0]
    assert cut.pixels.shape[-2:] == (32, 32)
    assert torch.equal(cut.pixels, full.pixels[..., 8:40])


def test_stage_one_reads_the_stored_image_alone(dataset):
    images = ClipSampling(frames=16, height=32, width=48, images_only=True)
    (batch,), loader = batches(dataset, 1, sampling=images)
    assert batch.pixels.shape == (GLOBAL_BATCH, 1, 3, 32, 48)
    assert (batch.pixels.float() - 90).abs().max() <= 2
    assert batch.condition_index.tolist() == [0] * GLOBAL_BATCH
    assert loader.too_short == 0


def test_clips_shorter_than_a_sample_are_left_out_and_counted(dataset, caplog):
    sampling = ClipSampling(frames=12, height=32, width=48)
    with caplog.at_level(logging.WARNING):
        found, loader = batches(dataset, 6, sampling=sampling)
    assert loader.too_short == 1
    assert "1 of 23" in caplog.text
    assert "clip-0022" not in {key for batch in found for key in batch.keys}


def test_mirrored_samples_are_the_same_samples_mirrored(dataset):
    plain, mirrored = (
        torch.cat([batch.pixels for batch in batches(dataset, 5, sampling=settings)[0]])
        for settings in (SAMPLING, SAMPLING.model_copy(update={"flip": True}))
    )
    turned = [not torch.equal(a, b) for a, b in zip(plain, mirrored, strict=True)]
    assert 0 < sum(turned) < len(turned)
    assert all(
        torch.equal(a.flip(-1) if t else a, b) for a, b, t in zip(plain, mirrored, turned, strict=True)
    )


def test_short_clips_may_be_left_out(dataset):
    skip = ClipSampling(frames=4, height=32, width=48, stride=(5, 6), short_clips="skip")
    loader = ClipLoader(dataset, skip, seed=0, global_batch=4)
    lengths = dataset.samples.column("frames").to_pylist()
    assert loader.too_short == sum(length < 16 for length in lengths)
    assert all(batch.fps.max() <= 12.0 / 5 for batch in batches(dataset, 3, sampling=skip)[0])


def test_a_dataset_without_a_clip_long_enough_is_refused(dataset):
    with pytest.raises(AnimaticError, match=r"none of its 23 clips has the 64 frames.*longest: 20"):
        ClipLoader(dataset, ClipSampling(frames=64, height=32, width=48), seed=0, global_batch=4)


def test_ranks_that_cannot_share_a_batch_are_refused(dataset):
    with pytest.raises(AnimaticError, match="cannot be shared by 3 workers"):
        ClipLoader(dataset, SAMPLING, seed=0, global_batch=4, world_size=3)


def test_undecodable_clip_is_logged_counted_and_replaced_the_same_way_everywhere(damaged, caplog):
    with caplog.at_level(logging.WARNING):
        found, loader = batches(damaged, 12)
    whole = [sample for batch in found for sample in samples(batch)]
    keys = [sample[0] for sample in whole]
    assert len(keys) == 12 * GLOBAL_BATCH
    assert "clip-0005" not in keys
    assert loader.failures == {"clip-0005": 2}
    assert caplog.text.count("clip-0005 cannot be decoded") == 2
    ranks = [batches(damaged, 12, rank=rank, world_size=2, threads=2)[0] for rank in range(2)]
    assert [samples(ranks[n % 2][b])[n // 2] for b in range(12) for n in range(4)] == whole
    assert sequence(damaged, 5, position=7) == whole[28:]


def test_samples_of_a_missing_shard_are_replaced(tmp_path, caplog):
    dataset = build_dataset(tmp_path / "gap", [12] * CLIPS, sizes=[CLIPS - 1, 1])
    (tmp_path / "gap" / "shard-000001.tar").unlink()
    found, loader = batches(dataset, 6)
    assert list(loader.failures) == [f"clip-{CLIPS - 1:04d}"]
    assert f"clip-{CLIPS - 1:04d}" not in {key for batch in found for key in batch.keys}
    assert sequence(dataset, 6, threads=3) == [sample for batch in found for sample in samples(batch)]


def test_too_large_a_share_of_failures_stops_the_run(tmp_path):
    dataset = build_dataset(tmp_path / "bad", [12] * 10, damage(1, 6))
    with pytest.raises(AnimaticError, match=r"of 1\d\d samples cannot be decoded, more than 0\.05 of"):
        batches(dataset, 60)
    found, loader = batches(dataset, 60, max_failure_share=0.5)
    assert len(found) == 60
    assert set(loader.failures) == {"clip-0001", "clip-0006"}
    with pytest.raises(AnimaticError, match="more than 0 of"):
        batches(dataset, 60, max_failure_share=0)


def test_a_dataset_that_is_all_broken_stops_at_once(tmp_path):
    dataset = build_dataset(tmp_path / "broken", [12] * 6, damage(*range(6)))
    with pytest.raises(AnimaticError, match="samples in a row cannot be decoded"):
        batches(dataset, 1)


def test_stage_one_trains_on_all_stored_images_of_a_clip(tmp_path: Path) -> None:
    jpgs = []
    for level in (60, 120, 180):
        buffer = io.BytesIO()
        Image.new("RGB", (WIDTH, HEIGHT), (level,) * 3).save(buffer, "JPEG")
        jpgs.append(buffer.getvalue())
    about = {"width": WIDTH, "height": HEIGHT, "frames": 9, "fps": 12.0, "duration": 0.75, "source_id": "0"}
    about |= {"condition_frame": 0, "scores": {"motion": 1.0, "brightness": 90.0}}
    sample = Sample("clip", jpgs[0], b"no video", "a caption", about, jpgs[1:])
    commit_clips(Folder(tmp_path), 0, [sample], [{"row": 0, "source_id": "0", "samples": 1}])
    commit_dataset(Folder(tmp_path), {}, units=1, rows=1)
    sampling = ClipSampling(frames=1, height=HEIGHT, width=WIDTH, images_only=True)
    batches = itertools.islice(ClipLoader(Dataset.open(tmp_path), sampling, seed=0, global_batch=1), 30)
    levels = {round(float(batch.pixels.float().mean())) for batch in batches}
    assert levels == {60, 120, 180}
