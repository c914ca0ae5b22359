"""A run continues another one's checkpoint with other settings of the optimizer, and records that it does."""

import json
import shutil

import pytest
import torch

from core.errors import AnimaticError
from core.files import sha256
from models.bundle import open_bundle
from orchestration.lineage import trace_lineage
from orchestration.registry import Ledger
from tests.support.process_group import WorkerError
from tests.support.training_jobs import small_config
from training.config import config_hash
from training.config.identity import trajectory_hash_1
from training.continuation import find_continuation
from training.journal import curves, read_journal

LENGTH = ("train.steps=4", "train.checkpoint_every=2", "train.ema_decay=0.9")


@pytest.fixture(scope="module")
def original(train_in_pair):
    return train_in_pair(small_config(0, *LENGTH))


def checkpoint_of(original):
    return original.run_dir / "checkpoints" / "step-00000002"


def continuing(original, *sets):
    return small_config(0, *LENGTH, f"init.checkpoint={checkpoint_of(original)}", *sets)


def weights(folder):
    return open_bundle(folder / "bundle").state()


def equal(one, other):
    return all(torch.equal(one[key], other[key]) for key in one)


def test_with_equal_settings_it_is_the_same_run(original, train_in_pair):
    continued = train_in_pair(continuing(original))
    assert equal(weights(continued.run_dir), weights(original.run_dir))
    assert sorted(dict(curves(continued.run_dir / "journal.jsonl")["train/loss"])) == [3, 4]


@pytest.mark.slow
@pytest.mark.parametrize("zero_stage", [0, 1, 3])
def test_each_setting_of_the_optimizer_takes_effect(train_in_pair, zero_stage):
    sets = [f"train.zero_stage={zero_stage}"]
    if zero_stage == 3:
        sets.append("train.image_batches=0")
    original = train_in_pair(small_config(0, *LENGTH, *sets))
    results = [weights(original.run_dir)]
    others = ["lr=2e-4", "betas=[0.5,0.6]", "weight_decay=0.9", "eps=1e-3", "grad_clip=1e-2"]
    others += ["weight_decay_on=matrices", "schedule=linear"]
    for other in others:
        continued = train_in_pair(continuing(original, *sets, f"optimizer.{other}"))
        results.append(weights(continued.run_dir))
    assert not any(equal(one, two) for n, one in enumerate(results) for two in results[:n])


def test_the_bundle_and_the_journal_record_the_checkpoint(original, train_in_pair, tmp_path):
    config = continuing(original, "optimizer.lr=5e-4")
    continued = train_in_pair(config)
    bundle = open_bundle(continued.bundle)
    manifest = checkpoint_of(original) / "manifest.json"
    expected = {"checkpoint": sha256(manifest), "step": 2, "config_hash": config_hash(original.config)}
    assert bundle.info.extra["continued"] == expected
    assert trace_lineage(Ledger(tmp_path), bundle)[0].continued == expected
    (resumed,) = [e for e in read_journal(continued.run_dir / "journal.jsonl") if e.event == "resume"]
    assert resumed.content["uri"] == str(checkpoint_of(original))
    assert "continued" not in open_bundle(original.bundle).info.extra
    assert "continued" not in json.loads(manifest.read_text())

    again = train_in_pair(config, continued.run_dir)  # finished
    assert again.losses == {}
    with pytest.raises(WorkerError, match="finished run of another continued checkpoint"):
        train_in_pair(small_config(0, *LENGTH, "optimizer.lr=5e-4"), continued.run_dir)


def test_an_interrupted_continuation_goes_on_by_itself(original, train_in_pair, tmp_path):
    config, run_dir = continuing(original, "optimizer.lr=5e-4", "train.checkpoint_every=1"), tmp_path / "run"
    with pytest.raises(WorkerError, match="at step 3"):
        train_in_pair(config, run_dir, stop_after=3)
    finished = train_in_pair(config, run_dir)
    assert sorted(finished.losses) == [4]
    shutil.rmtree(run_dir / "bundle")
    with pytest.raises(WorkerError, match=r"belongs to another run \(different continued\)"):
        train_in_pair(small_config(0, *LENGTH, "optimizer.lr=5e-4", "train.checkpoint_every=1"), run_dir)


def test_other_differences_are_refused_by_name(original):
    with pytest.raises(AnimaticError, match=r"settings than this one \(seed\): only those of `optimizer`"):
        find_continuation(continuing(original, "seed=7", "optimizer.lr=1e-5"))
    with pytest.raises(AnimaticError, match=r"\(model\.unet\.dropout, train\.global_batch\)"):
        find_continuation(continuing(original, "model.unet.dropout=0.2", "train.global_batch=8"))
    assert find_continuation(continuing(original, "optimizer.warmup_steps=9", "train.steps=9")) is not None


def test_other_data_are_refused(original, train_in_pair):
    with pytest.raises(WorkerError, match=r"belongs to another run \(different dataset\)"):
        train_in_pair(continuing(original), digest="other")


def test_a_shorter_run_is_refused(original, train_in_pair):
    with pytest.raises(WorkerError, match=r"was written after step 2, train\.steps is 1"):
        train_in_pair(continuing(original, "train.steps=1"))


def test_what_is_no_checkpoint_is_refused(original, tmp_path):
    copy = tmp_path / "run" / "checkpoints" / "step-00000002"
    shutil.copytree(checkpoint_of(original), copy)
    config = small_config(0, *LENGTH, f"init.checkpoint={copy}")
    with pytest.raises(AnimaticError, match=r"cannot read configuration .*config\.yaml"):
        find_continuation(config)
    shutil.copy(original.run_dir / "config.yaml", tmp_path / "run")
    assert find_continuation(config) is not None
    text = (tmp_path / "run" / "config.yaml").read_text()
    (tmp_path / "run" / "config.yaml").write_text(text.replace("seed: 0", "seed: 1"))
    with pytest.raises(AnimaticError, match=r"is not the configuration that checkpoint .* was written"):
        find_continuation(config)
    next(copy.glob("*.safetensors")).write_bytes(b"")
    with pytest.raises(AnimaticError, match=r"cannot be used: .* has 0 bytes instead of"):
        find_continuation(config)
    with pytest.raises(AnimaticError, match=r"cannot be used: .*manifest\.json is missing"):
        find_continuation(small_config(0, f"init.checkpoint={tmp_path}"))


def test_a_checkpoint_of_format_1_has_no_groups_of_parameters(original, tmp_path):
    copy = tmp_path / "run" / "checkpoints" / "step-00000002"
    shutil.copytree(checkpoint_of(original), copy)
    shutil.copy(original.run_dir / "config.yaml", tmp_path / "run")
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest |= {"format": 1, "trajectory": trajectory_hash_1(original.config)}
    (copy / "manifest.json").write_text(json.dumps(manifest))
    sets = (*LENGTH, f"init.checkpoint={copy}")
    assert find_continuation(small_config(0, *sets)) is not None
    with pytest.raises(AnimaticError, match=r"is of format 1.*weight_decay_on=all"):
        find_continuation(small_config(0, *sets, "optimizer.weight_decay_on=matrices"))


def test_the_advice_after_bad_gradients_can_be_followed(train_in_pair, tmp_path):
    sets = (*LENGTH, "train.steps=6", "train.max_skipped=2")
    with pytest.raises(WorkerError, match=r"not finite in 2 steps in a row, up to step 4") as caught:
        train_in_pair(small_config(0, *sets), tmp_path / "run", bad_steps=[3, 4])
    advice = next(line for line in str(caught.value).splitlines() if "not finite in 2 steps" in line)
    given = advice.split("--set ")[1:]
    assert given[0].strip() == "optimizer.lr=LR"
    finished = train_in_pair(small_config(0, *sets, "optimizer.lr=1e-5", given[1].strip()))
    assert sorted(finished.losses) == [3, 4, 5, 6]


@pytest.mark.slow
def test_without_a_checkpoint_the_advice_is_to_begin_again(train_in_pair, tmp_path):
    with pytest.raises(WorkerError, match=r"lengthen optimizer\.warmup_steps, and begin again"):
        train_in_pair(small_config(0, "train.max_skipped=1"), tmp_path / "run", bad_steps=[1])
    finished = train_in_pair(small_config(0, "optimizer.lr=1e-5"), tmp_path / "run")
    assert sorted(finished.losses) == [1, 2, 3]
