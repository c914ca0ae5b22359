"""`make prior`: codec and stage 0 are trained once, continue after an interruption, and ship with a card."""

import shutil
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch

from core.errors import AnimaticError
from models.architecture import CodecConfig
from models.bundle import open_bundle
from models.encoders.build import build_codec
from models.pixels import to_signed
from orchestration.demo.prior.clips import Clips
from orchestration.demo.prior.codec import CodecTraining, psnr, save_codec, train_codec
from orchestration.demo.prior.making import publish
from orchestration.demo.prior.source import ClipSource
from orchestration.demo.prior.stage0 import PriorTraining, TrainedPrior, train_prior
from orchestration.demo.trainings import read_losses
from tests.support.promotions import report_for
from tests.support.small_stages import make_bundle, small_sets

TRAINING = PriorTraining(
    clips=24,
    codec=CodecTraining(steps=3, batch=4),
    sets=(*small_sets(0), "train.global_batch=2", "train.steps=2", "train.checkpoint_every=1"),
)
CODEC = CodecConfig(kind="conv", patch=4, width=8, channel_mult=[1, 2], res_blocks=1, latent_channels=4)
QUICK = CodecTraining(steps=3, batch=4, warmup=1)
CPU = torch.device("cpu")


class Interruption(Exception):
    """Ends a training as the user would."""


class Displayed:
    """What was displayed: (title, done, total); the part ``interrupted`` ends a training."""

    def __init__(self, interrupted=None):
        self.steps, self._interrupted = [], interrupted

    @contextmanager
    def counting(self, title):
        def count(done, total):
            self.steps.append((title, done, total))
            if (title, done) == self._interrupted:
                raise Interruption

        yield count


def noise_clips():
    """Six clips of 16x16 pixels, half of them rendered."""
    frames = np.random.default_rng(0).integers(0, 256, (6, 3, 16, 16, 3), dtype=np.uint8)
    kinds = ["rendered", "photograph"] * 3
    return Clips(frames, [f"caption {n}" for n in range(6)], [2.0 + n for n in range(6)], kinds, "c" * 64)


def trained_weights(training):
    return train_codec(noise_clips(), CODEC, training, CPU, lambda done, total: None)


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a finished training, what was trained, and what it displayed."""
    root, displayed = tmp_path_factory.mktemp("prior"), Displayed()
    return root, train_prior(root, TRAINING, displayed.counting), displayed.steps


def test_a_training_ends_with_codec_and_bundle(finished):
    _, trained, steps = finished

    assert steps[-4:] == [("clips", 24, 24), ("codec", 3, 3), ("stage 0", 1, 2), ("stage 0", 2, 2)]
    bundle = open_bundle(trained.run / "bundle")
    assert bundle.info.stage == 0 and list(read_losses(trained.run)) == [1, 2]
    codec = bundle.animator(codec=str(trained.codec)).codec
    frames = np.zeros((1, 64, 64, 3), np.uint8)
    assert np.isfinite(psnr(codec, frames)).all()


def test_a_second_call_trains_nothing(finished):
    root, trained, _ = finished
    before, displayed = trained.codec.stat().st_mtime_ns, Displayed()

    again = train_prior(root, TRAINING, displayed.counting)

    assert again == trained and displayed.steps == []
    assert trained.codec.stat().st_mtime_ns == before


def test_an_interrupted_training_continues_to_the_same_weights(finished, tmp_path):
    done, trained, _ = finished
    root = tmp_path / "prior"
    shutil.copytree(done / "clips", root / "clips")
    with pytest.raises(Interruption):
        train_prior(root, TRAINING, Displayed(("codec", 3)).counting)
    assert not list(root.glob("codec*"))  # nothing that could pass for a trained one
    begun = Displayed(("stage 0", 1))
    with pytest.raises(Interruption):
        train_prior(root, TRAINING, begun.counting)
    assert begun.steps == [("codec", 3, 3), ("stage 0", 1, 2)]

    rest = Displayed()
    again = train_prior(root, TRAINING, rest.counting)

    assert rest.steps == [("stage 0", 2, 2)]
    bundles = [open_bundle(each.run / "bundle") for each in (trained, again)]
    assert equal(bundles[0].state(), bundles[1].state())


def test_the_codec_is_a_function_of_the_seed():
    first = trained_weights(QUICK)

    assert equal(first, trained_weights(QUICK))
    assert not equal(first, trained_weights(replace(QUICK, seed=1)))


def test_latents_of_the_codec_have_mean_0_and_deviation_1(tmp_path):
    save_codec(trained_weights(QUICK), tmp_path / "codec.safetensors")
    codec = build_codec(CODEC.model_copy(update={"path": str(tmp_path / "codec.safetensors")}))
    pixels = to_signed(torch.from_numpy(noise_clips().frames).flatten(0, 1).permute(0, 3, 1, 2))

    latents = codec.encode(pixels)

    # Training measures them on mirrored, turned and recoloured frames.
    assert latents.mean((0, 2, 3)).abs().max() < 0.3
    assert (latents.std((0, 2, 3)) - 1).abs().max() < 0.3


@pytest.fixture(scope="module")
def codec(tmp_path_factory):
    path = tmp_path_factory.mktemp("codec") / "codec.safetensors"
    save_codec(trained_weights(QUICK), path)
    return build_codec(CODEC.model_copy(update={"path": str(path)}))


def keys_of(source, position=0, rank=0, world_size=1, data_round=0, count=4):
    batches = source.batches(rank, world_size, position, 4, data_round)
    return [batch.keys for batch in islice(batches, count)]


def test_batches_are_functions_of_seed_step_and_data_round(codec):
    source = ClipSource(noise_clips(), codec, seed=3)
    drawn = keys_of(source)

    assert keys_of(ClipSource(noise_clips(), codec, seed=3)) == drawn
    assert keys_of(source, position=2, count=2) == drawn[2:]
    assert keys_of(ClipSource(noise_clips(), codec, seed=4)) != drawn
    assert keys_of(source, data_round=1) != drawn


def test_the_shares_of_two_processes_are_the_batch_of_one(codec):
    source = ClipSource(noise_clips(), codec, seed=3)
    whole = next(source.batches(0, 1, 5, 4))
    shares = [next(source.batches(rank, 2, 5, 4)) for rank in (0, 1)]

    assert [key for share in shares for key in share.keys] == whole.keys
    assert [caption for share in shares for caption in share.captions] == whole.captions
    for name in ("pixels", "fps", "drop_text", "drop_image", "seed", "latents"):
        assert torch.equal(torch.cat([getattr(share, name) for share in shares]), getattr(whole, name)), name


def test_a_batch_has_latents_captions_and_rates_of_its_clips(codec):
    clips = noise_clips()
    batch = ClipSource(clips, codec, seed=3, chunk=4).first(6)

    assert batch.captions == clips.captions and batch.fps.tolist() == clips.fps
    pixels = to_signed(torch.from_numpy(clips.frames[5]).permute(0, 3, 1, 2))
    torch.testing.assert_close(batch.latents[5, :, 0], codec.encode(pixels), rtol=2e-3, atol=2e-3)
    assert (batch.latents[:, :, 1] == 0).all()


@pytest.fixture(scope="module")
def published(finished, tmp_path_factory):
    """The published bundle, in a folder where an interrupted copy had left a file."""
    trained, target = finished[1], tmp_path_factory.mktemp("published") / "prior"
    target.mkdir()
    (target / "model.safetensors.partial").write_bytes(b"half")
    return publish(trained, TRAINING, report_of(trained), target)


def report_of(trained):
    return report_for(open_bundle(trained.run / "bundle").id, sampling={"steps": 2, "text_guidance": 4.0})


def test_what_is_published_animates_with_the_trained_codec(finished, published):
    trained = finished[1]
    config = published.info.architecture.codec
    frames = np.random.default_rng(1).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    file_codec = build_codec(config.model_copy(update={"path": str(trained.codec)}))

    assert config.path is None
    assert psnr(published.animator().codec, frames) == psnr(file_codec, frames)
    assert not (published.folder / "model.safetensors.partial").exists()


def test_the_card_states_how_it_was_made_and_what_it_can_do(finished, published):
    card = (published.folder / "README.md").read_text()

    assert "24 clips" in card and "3 steps\nof batch 4" in card and "2 steps of batch 2" in card
    assert open_bundle(finished[1].run / "bundle").id in card
    for kind in ("rendered scenes", "photographs", "films"):
        assert f"| {kind} | " in card
    assert "| a brick wall (`brick.png` of scikit-image) | CC0Textures, CC0 |" in card
    assert "chelsea.png" not in card  # held out
    assert (published.folder / "loss.png").is_file() and "](loss.png)" in card


def test_publishing_again_changes_nothing(finished, published):
    weights = published.folder / "model.safetensors"
    before = weights.stat().st_mtime_ns

    again = publish(finished[1], TRAINING, report_of(finished[1]), published.folder)

    assert again.id == published.id and weights.stat().st_mtime_ns == before


def test_another_prior_is_never_overwritten(finished, published, tmp_path):
    make_bundle(tmp_path / "run" / "bundle", stage=0)
    other = TrainedPrior(finished[1].codec, tmp_path / "run")

    with pytest.raises(AnimaticError, match=f"another prior .{published.id[:12]}.*: delete that folder"):
        publish(other, TRAINING, report_of(other), published.folder)
    assert open_bundle(published.folder).id == published.id
