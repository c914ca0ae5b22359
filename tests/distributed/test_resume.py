"""Killed, damaged, finished: what a run does the next time it is started."""

import json
import shutil
import signal

import av
import numpy as np
import pytest
import torch
from PIL import Image

from core.files import sha256
from models.bundle import open_bundle
from models.network.parameter_names import internal_state
from tests.support.coded_clips import build_dataset
from tests.support.process_group import WorkerError, Workers
from tests.support.training_jobs import run_stage, small_config, write_config
from tests.support.waiting import wait_until
from training.checkpoint_export import export_checkpoint
from training.checkpoints import complete_checkpoints, find_damage
from training.initialisation import initialise
from training.journal import curves, read_journal
from training.run_folder import RunFolder

LENGTH = (
    "train.steps=6",
    "train.checkpoint_every=2",
    "train.ema_decay=0.9",
    "train.micro_batch=1",
    "train.image_batches=0.5",
    "validation.every=3",
)


def events(run_dir, kind):
    return [entry for entry in read_journal(run_dir / "journal.jsonl") if entry.event == kind]


@pytest.fixture(scope="module")
def undisturbed(train_in_pair):
    return train_in_pair(small_config(0, *LENGTH), record_samples=True)


def test_killed_run_resumes_bit_equal(undisturbed, pair, tmp_path):
    run_dir = tmp_path / "run"
    path = write_config(undisturbed.config, tmp_path / "config.yaml")
    with Workers(2, tmp_path / "first") as workers:
        workers.start(run_stage, path, str(run_dir), {"wait_after": 5})
        wait_until((run_dir / "waiting").exists, 200)
        # Which is written beside training, by processes that now do nothing else.
        wait_until((run_dir / "checkpoints" / "step-00000004").exists, 200)
        workers.kill()
    assert max(dict(curves(run_dir / "journal.jsonl")["train/loss"])) == 5
    assert not (run_dir / "bundle").exists()
    assert pair.run(run_stage, path, str(run_dir))[0]["resumed_from"] == 4
    expected, got = (open_bundle(folder / "bundle").state() for folder in (undisturbed.run_dir, run_dir))
    assert all(torch.equal(expected[key], got[key]) for key in expected)
    assert (
        curves(run_dir / "journal.jsonl")["train/loss"]
        == curves(undisturbed.run_dir / "journal.jsonl")["train/loss"]
    )


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("zero_stage", [1, 2, 3])
def test_sixty_steps_with_a_killed_rank_are_those_without(train_in_pair, tmp_path, zero_stage, precision):
    """One of the processes is killed after step 20; the other one, which then waits for it, is ended."""
    layout = (f"train.zero_stage={zero_stage}", f"train.precision={precision}")
    length = ("train.steps=60", "train.checkpoint_every=20")
    config = small_config(0, *layout, *length, "train.ema_decay=0.9", "train.image_batches=0")
    whole, run_dir = train_in_pair(config), tmp_path / "run"
    with Workers(2, tmp_path / "first") as workers:
        job = workers.start(
            run_stage,
            write_config(config, tmp_path / "config.yaml"),
            str(run_dir),
            {"signal_after": [1, 23, signal.SIGKILL, 1]},
        )
        with pytest.raises(WorkerError, match="did not finish"):
            workers.wait(job)
    again = train_in_pair(config, run_dir)
    assert min(again.losses) == 21 and again.losses == {step: whole.losses[step] for step in range(21, 61)}
    expected, got = open_bundle(whole.bundle).state(), open_bundle(again.bundle).state()
    assert all(torch.equal(expected[key], got[key]) for key in expected)


@pytest.mark.parametrize(
    ("stage", "zero_stage", "precision"),
    [
        pytest.param(0, 0, "autocast-bf16", marks=pytest.mark.slow),
        pytest.param(1, 3, "autocast-bf16", marks=pytest.mark.slow),
        pytest.param(1, 1, "bf16", marks=pytest.mark.slow),
    ],
)
def test_interrupted_run_resumes_bit_equal(recipe, train_in_pair, tmp_path, stage, zero_stage, precision):
    sets = [*LENGTH, f"train.zero_stage={zero_stage}", "train.steps=4", f"train.precision={precision}"]
    if stage == 1:  # stage 3 gathers every layer in every pass: the smaller network and one pass a step
        sets += [f"init.base={recipe[0].bundle}", "train.micro_batch=2", "train.image_batches=0"]
    whole = train_in_pair(small_config(stage, *sets))
    with pytest.raises(WorkerError, match="at step 3"):
        train_in_pair(whole.config, tmp_path, stop_after=3)
    again = train_in_pair(whole.config, tmp_path)
    assert again.losses == {step: whole.losses[step] for step in (3, 4)}
    expected, got = open_bundle(whole.bundle).state(), open_bundle(again.bundle).state()
    assert all(torch.equal(expected[key], got[key]) for key in expected)


def test_a_run_over_buckets_resumes_bit_equal_and_counts_its_clips(train_in_pair, tmp_path):
    shapes = [(64, 96)] * 6 + [(96, 64)] * 6
    dataset = build_dataset(tmp_path / "data", [8] * 12, shapes=shapes)
    buckets = "[{height: 32, width: 48, frames: 3}, {height: 48, width: 32, frames: 4, batch: 8}]"
    data = (f"data.dataset={dataset.url}", f"data.buckets={buckets}", "data.sampling.stride=[1, 2]")
    length = ("train.steps=4", "train.checkpoint_every=2", "validation.every=4")
    whole = train_in_pair(small_config(0, *data, *length))
    with pytest.raises(WorkerError, match="at step 3"):
        train_in_pair(whole.config, tmp_path / "run", stop_after=3)
    again = train_in_pair(whole.config, tmp_path / "run")
    assert again.losses == {step: whole.losses[step] for step in (3, 4)}
    expected, got = open_bundle(whole.bundle).state(), open_bundle(again.bundle).state()
    assert all(torch.equal(expected[key], got[key]) for key in expected)
    found = curves(whole.run_dir / "journal.jsonl")
    rates, seconds = (dict(found[f"throughput/{name}"]) for name in ("clips_per_s", "step_s"))
    # As many clips of either shape: twice as many steps of the bucket with half the batch.
    assert [round(rates[step] * seconds[step]) for step in range(1, 5)] == [4, 8, 4, 4]
    assert len(events(whole.run_dir, "sample")) == 1


def test_samples_are_drawn_from_the_whole_averaged_weights(undisturbed):
    drawn = torch.load(undisturbed.run_dir / "drawn.pt")  # for the last ones
    bundle = open_bundle(undisturbed.bundle)
    expected = internal_state(bundle.info.architecture, bundle.state())
    assert drawn.keys() == expected.keys()
    assert all(torch.equal(drawn[name], value) for name, value in expected.items())


@pytest.fixture(scope="module")
def averaged_step(train_in_pair):
    """One step, with an average."""
    return train_in_pair(small_config(0, "train.steps=1", "train.ema_decay=0.9"))


def test_a_bundle_contains_the_average_of_the_weights(averaged_step, train_in_pair):
    """After one step: a mean of the first weights and the last, by the decay of a young average."""
    begun = initialise(small_config(0))[1].weights
    plain = train_in_pair(small_config(0, "train.steps=1"))
    last, averaged = (
        internal_state(bundle.info.architecture, bundle.state())
        for bundle in (open_bundle(plain.bundle), open_bundle(averaged_step.bundle))
    )
    decay = (1 + 1) / (10 + 1)
    assert last.keys() == averaged.keys() == begun.keys()
    assert any(not torch.equal(last[name], begun[name]) for name in last)
    for name, value in averaged.items():
        torch.testing.assert_close(value, begun[name].lerp(last[name], 1 - decay), rtol=0, atol=1e-6)


def test_a_checkpoint_is_exported_as_the_bundle_that_its_run_would_end_with(undisturbed, tmp_path):
    last = undisturbed.run_dir / "checkpoints" / "step-00000006"
    expected = open_bundle(undisturbed.bundle)
    exported = export_checkpoint(last, tmp_path / "averaged")
    assert exported.averaged and exported.step == 6
    bundle = open_bundle(exported.folder, verify=True)
    assert bundle.info.extra == expected.info.extra and bundle.info.config_hash == expected.info.config_hash
    assert bundle.info.dataset_digest == expected.info.dataset_digest
    assert all(torch.equal(value, bundle.state()[key]) for key, value in expected.state().items())
    raw = open_bundle(export_checkpoint(last, tmp_path / "raw", averaged=False).folder)
    assert raw.info.extra["ema"] is None
    assert any(not torch.equal(value, raw.state()[key]) for key, value in expected.state().items())
    earlier = export_checkpoint(last.with_name("step-00000004"), tmp_path / "earlier")
    assert open_bundle(earlier.folder).info.extra["steps"] == 4
    card = (earlier.folder / "README.md").read_text()
    assert "| Steps | 4 of 6 of batch 4 |" in card and "4 to 4" in card and "6 to 6" not in card


def test_frozen_weights_of_an_exported_checkpoint_are_those_of_the_parent(recipe, tmp_path):
    (checkpoint,) = complete_checkpoints(recipe[3].run_dir / "checkpoints")
    exported = open_bundle(export_checkpoint(checkpoint, tmp_path / "bundle").folder).state()
    assert all(
        torch.equal(value, exported[key]) for key, value in open_bundle(recipe[3].bundle).state().items()
    )


def test_samples_are_written_at_each_interval(undisturbed):
    samples = events(undisturbed.run_dir, "sample")
    assert [entry.step for entry in samples] == [3, 6]
    for entry in samples:
        clip = undisturbed.run_dir / entry.content["path"]
        with av.open(str(clip)) as video, Image.open(clip.with_suffix(".png")) as strip:
            frames = np.stack([frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)])
            assert frames.shape == (3, 64, 64, 3)
            drawn = np.asarray(strip.convert("RGB")).reshape(64, 3, 64, 3).swapaxes(0, 1)
        assert np.abs(frames.astype(int) - drawn).mean() < 8  # lossy, but the same pictures


def test_the_first_process_locks_the_run_folder(undisturbed):
    assert RunFolder(undisturbed.run_dir).lock.read_text().startswith("train (process ")


def test_finished_run_returns_at_once(undisturbed, train_in_pair):
    steps = len(events(undisturbed.run_dir, "metrics"))
    assert train_in_pair(undisturbed.config, undisturbed.run_dir).losses == {}
    assert len(events(undisturbed.run_dir, "metrics")) == steps


def test_retention_keeps_the_newest(undisturbed):
    names = sorted(path.name for path in (undisturbed.run_dir / "checkpoints").iterdir())
    assert names == ["step-00000004", "step-00000006"]


def copy_unfinished(undisturbed, target):
    shutil.copytree(undisturbed.run_dir, target)
    shutil.rmtree(target / "bundle")
    return target


def test_damaged_checkpoint_falls_back_to_the_one_before(undisturbed, train_in_pair, tmp_path):
    run_dir = copy_unfinished(undisturbed, tmp_path / "run")
    file = run_dir / "checkpoints" / "step-00000006" / "rank-00001.safetensors"
    file.write_bytes(file.read_bytes()[:-7])
    again = train_in_pair(undisturbed.config, run_dir)
    assert again.losses == {step: undisturbed.losses[step] for step in (5, 6)}
    assert "rank-00001.safetensors" in events(run_dir, "warning")[0].content["message"]
    assert find_damage(complete_checkpoints(run_dir / "checkpoints")[-1]) is None


def test_a_flipped_bit_is_damage(undisturbed, tmp_path):
    copied = copy_unfinished(undisturbed, tmp_path / "run") / "checkpoints" / "step-00000006"
    file = copied / "rank-00001.safetensors"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    assert find_damage(copied) == "rank-00001.safetensors does not match its recorded sha256"


def test_what_an_interrupted_save_left_is_deleted_by_the_next_run(undisturbed, train_in_pair, tmp_path):
    run_dir = copy_unfinished(undisturbed, tmp_path / "run")
    for left in (run_dir / "checkpoints" / "step-00000007.partial", run_dir / ".bundle.part-0123abcd"):
        left.mkdir()
    train_in_pair(undisturbed.config, run_dir)
    assert not list(run_dir.rglob("*part*"))


def test_a_length_below_the_newest_checkpoint_is_refused(undisturbed, train_in_pair, tmp_path):
    run_dir = copy_unfinished(undisturbed, tmp_path / "run")
    with pytest.raises(WorkerError, match=r"after step 6, train\.steps is 4: .*train\.steps=6"):
        train_in_pair(small_config(0, *LENGTH, "train.steps=4"), run_dir)
    assert not (run_dir / "bundle").exists()


def test_a_run_on_other_data_is_refused(undisturbed, train_in_pair, tmp_path):
    run_dir = copy_unfinished(undisturbed, tmp_path / "run")
    with pytest.raises(WorkerError, match=r"belongs to another run \(different dataset\)"):
        train_in_pair(undisturbed.config, run_dir, digest="other")
    with pytest.raises(WorkerError, match="finished run of another dataset"):
        train_in_pair(undisturbed.config, undisturbed.run_dir, digest="other")


def test_a_run_from_another_base_or_parent_is_refused(recipe, train_in_pair, tmp_path):
    """The settings are equal, the bundles that they name are not."""
    base, parent = (shutil.copytree(recipe[stage].bundle, tmp_path / f"stage-{stage}") for stage in (0, 1))
    sets = (f"init.base={base}", f"init.parent={parent}", "train.checkpoint_every=1", "train.steps=1")
    config, run_dir = small_config(2, *sets), tmp_path / "run"
    train_in_pair(config, run_dir)
    for name, bundle in (("base", base), ("parent", parent)):
        card = bundle / "README.md"
        card.write_text("Another one.")
        info = json.loads((bundle / "bundle.json").read_text())
        info["files"]["README.md"] = sha256(card)
        (bundle / "bundle.json").write_text(json.dumps(info))
        with pytest.raises(WorkerError, match=f"finished run of another {name} bundle"):
            train_in_pair(config, run_dir)
    shutil.rmtree(run_dir / "bundle")
    with pytest.raises(WorkerError, match=r"belongs to another run \(different base, parent\)"):
        train_in_pair(config, run_dir)


def test_another_recipe_is_refused(undisturbed, train_in_pair, tmp_path):
    run_dir = copy_unfinished(undisturbed, tmp_path / "run")
    with pytest.raises(WorkerError, match="belongs to another run"):
        train_in_pair(small_config(0, *LENGTH, "optimizer.lr=2e-3"), run_dir)
    with pytest.raises(WorkerError, match="choose another run folder"):
        train_in_pair(small_config(0, *LENGTH, "optimizer.lr=2e-3"), undisturbed.run_dir)


@pytest.mark.parametrize(
    ("zero_stage", "precision"),
    [(0, "fp32"), *(pytest.param(*each, marks=pytest.mark.slow) for each in [(1, "bf16"), (2, "fp32")])],
)
def test_steps_with_bad_gradients_are_skipped_and_counted(train_in_pair, zero_stage, precision):
    sets = (f"train.zero_stage={zero_stage}", f"train.precision={precision}")
    config = small_config(0, *sets, "train.ema_decay=0.5")
    trained = train_in_pair(config, bad_steps=[2])
    skipped = curves(trained.run_dir / "journal.jsonl")["train/skipped_steps"]
    assert skipped == [(1, 0.0), (2, 1.0), (3, 1.0)]
    assert events(trained.run_dir, "warning")[0].step == 2
    assert all(value.isfinite().all() for value in open_bundle(trained.bundle).state().values())


def test_bad_gradients_in_a_row_end_the_run(train_in_pair, tmp_path):
    config = small_config(0, "train.max_skipped=2")
    with pytest.raises(WorkerError, match="AnimaticError: gradients were not finite in 2 steps in a row"):
        train_in_pair(config, tmp_path, bad_steps=[2, 3])
    assert not (tmp_path / "bundle").exists()


@pytest.mark.slow
def test_bad_gradients_that_are_not_in_a_row_do_not_end_the_run(train_in_pair):
    config = small_config(0, "train.max_skipped=2", "train.steps=5")
    trained = train_in_pair(config, bad_steps=[2, 4])
    assert [entry.step for entry in events(trained.run_dir, "warning")] == [2, 4]


def test_the_average_does_not_move_in_a_skipped_step(averaged_step, train_in_pair):
    skipped = train_in_pair(small_config(0, "train.ema_decay=0.9", "train.steps=2"), bad_steps=[2])
    expected, got = open_bundle(averaged_step.bundle).state(), open_bundle(skipped.bundle).state()
    assert all(torch.equal(expected[key], got[key]) for key in expected)
