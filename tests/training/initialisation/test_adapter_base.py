"""Runs with an adapter: what they train, what they start from, and what is refused."""

import pytest
import torch

from core.errors import AnimaticError
from models.bundle import open_bundle
from models.public_keys import is_adapter_key
from tests.support.adapters import adapter_config, write_adapter, write_base
from tests.support.training_jobs import FEWER_LAYERS, small_config
from training.config import config_hash, resolve
from training.initialisation import initialise
from training.trainable import kind_of, trainable_names


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("base") / "bundle"
    write_base(folder)
    return folder


def trained(config) -> list[str]:
    _, initialisation = initialise(config)
    return trainable_names(config, list(initialisation.transfers))


def test_the_matrices_alone_are_trained_of_the_layers_that_the_stage_trains(base):
    names = trained(adapter_config(base))
    assert names and all(is_adapter_key(name) for name in names)
    assert {kind_of(name) for name in names} == {"context", "image attention", "spatial"}
    wider = trained(adapter_config(base, "train.adapter.temporal=true", "train.trainable=['unet.conv_in.*']"))
    assert {kind_of(name) for name in wider} == {"context", "image attention", "spatial", "temporal"}
    assert {name for name in wider if not is_adapter_key(name)} == {
        "unet.conv_in.weight",
        "unet.conv_in.bias",
    }


def test_the_network_begins_as_its_base_and_with_the_same_matrices_for_the_same_seed(base):
    config = adapter_config(base)
    (animator, start), (_, again) = initialise(config), initialise(config)
    before = dict(open_bundle(base).animator().network.named_parameters())
    after = dict(animator.network.named_parameters())
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert all(torch.equal(value, again.weights[name]) for name, value in start.weights.items())
    updates = [value for name, value in start.weights.items() if name.endswith("lora_B.weight")]
    assert updates and not any(value.any() for value in updates)
    assert start.parent == open_bundle(base).id


def test_what_differs_from_the_base_has_to_be_trained_whole(tmp_path):
    write_base(tmp_path / "stage2", stage=2)
    with pytest.raises(AnimaticError, match=r"unet\.conv_in\.weight.*train\.trainable"):
        initialise(adapter_config(tmp_path / "stage2"))
    whole = "train.trainable=['unet.conv_in.weight']"
    folder = write_adapter(tmp_path / "run", tmp_path / "stage2", whole)
    adapter, stage2 = open_bundle(folder), open_bundle(tmp_path / "stage2")
    key = "model.diffusion_model.input_blocks.0.0.weight"
    assert adapter.shapes()[key][1] == 2 * stage2.shapes()[key][1]
    assert adapter.animator().network.unet.conv_in.weight.abs().min() > 0


@pytest.mark.parametrize("stage", [1, 2])
def test_a_stage_of_several_origins_has_no_adapter(tmp_path, stage):
    write_base(tmp_path / "prior", stage=0)
    sets = [f"init.base={tmp_path / 'prior'}", "train.adapter.rank=2"]
    if stage == 2:
        write_base(tmp_path / "stage1", stage=1)
        sets.append(f"init.parent={tmp_path / 'stage1'}")
    with pytest.raises(AnimaticError, match="not those of one bundle"):
        initialise(small_config(stage, *FEWER_LAYERS, *sets))


def test_targets_that_the_stage_does_not_train_are_refused():
    with pytest.raises(AnimaticError, match="trains no layer"):
        initialise(small_config(0, *FEWER_LAYERS, "train.adapter.targets=[image_attention]"))


def test_sharded_weights_have_no_adapter():
    with pytest.raises(AnimaticError, match="use zero_stage 0 to 2"):
        small_config(3, "train.adapter.rank=2", "train.zero_stage=3")


def test_an_adapter_is_another_recipe_and_none_is_the_one_before():
    plain = resolve(3, "tiny")
    sets = ["train.adapter.kind=lora"], ["train.adapter.rank=4"], ["train.adapter.targets=[attention]"]
    hashes = {config_hash(plain), *(config_hash(resolve(3, "tiny", each)) for each in sets)}
    assert len(hashes) == 4
    assert config_hash(resolve(3, "tiny", ["train.adapter=null"])) == config_hash(plain)
    ordered, other = (
        resolve(3, "tiny", [f"train.adapter.targets=[{targets}]"])
        for targets in ("attention, convolutions", "convolutions, attention, attention")
    )
    assert config_hash(ordered) == config_hash(other)
