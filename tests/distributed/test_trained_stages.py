"""The recipe trained by two processes: what each stage trains, keeps frozen and passes on."""

import shutil

import pytest
import torch

from core.errors import AnimaticError
from models.bundle import open_bundle
from models.network.parameter_names import internal_state, is_image_attention, is_temporal
from tests.support.training_jobs import SyntheticSource, small_config
from training.initialisation import initialise
from training.trainable import kind_of, trainable_names

CONV_IN = "unet.conv_in.weight"
KINDS = ("context", "image attention", "temporal", "spatial")


def weights(bundle_path):
    bundle = open_bundle(bundle_path)
    return internal_state(bundle.info.architecture, bundle.state())


def initial(trained):
    return initialise(trained.config)[1]


def test_every_parameter_belongs_to_exactly_one_kind(recipe):
    kinds = {kind_of(name) for name in weights(recipe[3].bundle)}
    assert kinds == set(KINDS)
    with pytest.raises(ValueError, match="exactly one"):
        kind_of("codec.basis")


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_frozen_parameters_are_bit_equal_and_trained_ones_changed(recipe, stage):
    before, after = initial(recipe[stage]).weights, weights(recipe[stage].bundle)
    assert before.keys() == after.keys()
    changed = {name for name in after if not torch.equal(before[name], after[name])}
    if stage == 1:
        expected = {name for name in after if name.startswith("context.") or is_image_attention(name)}
    else:
        expected = {name for name in after if not is_temporal(name)}
    assert changed == expected
    assert expected and expected != set(after)


def test_stage_0_trains_the_whole_network(recipe):
    before, after = initial(recipe[0]).weights, weights(recipe[0].bundle)
    assert {name for name in after if torch.equal(before[name], after[name])} == set()
    assert any(is_temporal(name) for name in after)


def test_stage_1_is_an_image_network_on_the_spatial_half_of_the_base(recipe):
    base, after = weights(recipe[0].bundle), weights(recipe[1].bundle)
    assert not any(is_temporal(name) for name in after)
    shared = set(base) & set(after)
    assert shared == {name for name in base if not is_temporal(name)}
    # The base has channels of a condition, which an image network does without.
    channels = after[CONV_IN].shape[1]
    assert channels < base[CONV_IN].shape[1]
    base[CONV_IN] = base[CONV_IN][:, :channels]
    assert all(torch.equal(base[name], after[name]) for name in shared)


def test_stage_2_repeats_the_queries_of_stage_1_for_every_frame(recipe):
    one, start = weights(recipe[1].bundle)["context.latents"], initial(recipe[2])
    frames = recipe[2].config.model.frames
    repeated = start.weights["context.latents"]
    assert repeated.shape == (1, one.shape[1] * frames, one.shape[2])
    for frame in repeated.chunk(frames, dim=1):
        assert torch.equal(frame, one)
    assert {start.origins[name] for name in start.weights if is_temporal(name)} == {"base"}
    assert {start.origins[name] for name in start.weights if is_image_attention(name)} == {"parent"}


def test_stage_3_starts_with_stage_2s_output(recipe):
    animator, start = initialise(recipe[3].config)
    before = open_bundle(recipe[2].bundle).animator()
    assert start.weights["unet.conv_in.weight"].shape[1] == 2 * before.architecture.unet.in_channels
    channels, frames = before.architecture.unet.latent_channels, before.architecture.frames
    latents, condition = torch.randn(2, 2, channels, frames, 8, 8).unbind(0)
    inputs = (
        torch.tensor([3, 900]),
        torch.randn(2, 7, 32),
        torch.randn(2, frames, 4, 32),
        torch.tensor([8.0, 4.0]),
    )
    with torch.no_grad():
        expected = before.network.unet(latents, *inputs)
        got = animator.eval().network.unet(torch.cat([latents, condition], dim=1), *inputs)
    assert expected.abs().max() > 0
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-6)


def test_zero_3_trains_exactly_like_zero_2(recipe, train_in_pair):
    sharded = small_config(
        2,
        "train.zero_stage=3",
        f"init.base={recipe[0].bundle}",
        f"init.parent={recipe[1].bundle}",
    )
    assert recipe[2].config.train.zero_stage == 2
    trained = train_in_pair(sharded)
    assert trained.losses == pytest.approx(recipe[2].losses, rel=1e-6)
    reference, got = weights(recipe[2].bundle), weights(trained.bundle)
    for name, value in reference.items():
        torch.testing.assert_close(got[name], value, rtol=0, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}")


def test_one_stage_ablation_goes_from_base_and_stage_1_to_stage_3(recipe):
    sets = (f"init.base={recipe[0].bundle}", f"init.parent={recipe[1].bundle}", "ablation.one_stage=true")
    _, start = initialise(small_config(3, *sets))
    assert start.origins["unet.conv_in.weight"] == "base"
    assert start.origins["context.latents"] == "parent"
    _, bare = initialise(small_config(3, *sets[::2], "ablation.no_context=true"))
    assert set(bare.origins.values()) == {"base"}


def test_joint_ablation_goes_from_the_base_alone_to_stage_3(recipe):
    _, start = initialise(small_config(3, f"init.base={recipe[0].bundle}", "ablation.joint=true"))
    origins = {name: {start.origins[key] for key in start.weights if kind_of(key) == name} for name in KINDS}
    assert origins == {
        "context": {"new"},
        "image attention": {"new"},
        "temporal": {"base"},
        "spatial": {"base"},
    }
    assert start.parent is None


def test_a_query_transformer_continues_on_the_tokens_that_it_was_trained_on(recipe):
    sets = (f"init.base={recipe[0].bundle}", f"init.parent={recipe[1].bundle}", "ablation.class_token=true")
    with pytest.raises(AnimaticError, match=r"all image tokens.*set ablation.class_token=false"):
        initialise(small_config(2, *sets))


def test_trainable_globs_widen_the_stage(recipe):
    sets = [f"init.parent={recipe[2].bundle}"]
    names = list(initial(recipe[3]).weights)
    wider = trainable_names(small_config(3, *sets, "train.trainable=['unet.*temporal*']"), names)
    assert set(wider) > set(trainable_names(small_config(3, *sets), names))
    with pytest.raises(AnimaticError, match="matches no parameter"):
        trainable_names(small_config(3, *sets, "train.trainable=['unte.*']"), names)


def test_missing_parent_is_one_clear_error():
    with pytest.raises(AnimaticError, match=r"needs the bundle of stage 2.*animatic train --stage 2"):
        initialise(small_config(3))
    with pytest.raises(AnimaticError, match=r"no bundle at /nowhere"):
        initialise(small_config(3, "init.parent=/nowhere"))
    with pytest.raises(AnimaticError, match=r"needs init\.base"):
        initialise(small_config(1))


def test_parent_of_the_wrong_stage_is_refused(recipe):
    with pytest.raises(AnimaticError, match="bundle of stage 1, but stage 3 continues stage 2"):
        initialise(small_config(3, f"init.parent={recipe[1].bundle}"))


def test_parent_of_another_size_is_refused(recipe):
    config = small_config(3, f"init.parent={recipe[2].bundle}", "model.unet.channel_mult=[1,3]")
    with pytest.raises(AnimaticError, match="another shape"):
        initialise(config)


def test_tampered_parent_is_refused(recipe, tmp_path):

    copy = tmp_path / "bundle"
    shutil.copytree(recipe[2].bundle, copy)
    data = bytearray((copy / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (copy / "model.safetensors").write_bytes(data)
    with pytest.raises(AnimaticError, match="tampered"):
        initialise(small_config(3, f"init.parent={copy}"))


def test_bundles_name_their_origin(recipe):
    infos = {stage: open_bundle(trained.bundle) for stage, trained in recipe.items()}
    assert infos[0].info.parent is None
    assert infos[1].info.parent == infos[0].id
    assert infos[2].info.parent == infos[1].id
    assert infos[2].info.extra["base"] == infos[0].id
    assert infos[3].info.parent == infos[2].id
    assert infos[3].info.dataset_digest == SyntheticSource(recipe[3].config).digest
    assert "Training loss" in infos[3].card
    assert infos[3].info.sampling == recipe[3].config.validation.sampling
