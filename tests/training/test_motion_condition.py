"""The motion condition of the network: off by default, zero at first, and trained where it is switched on."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from core.errors import AnimaticError
from models.animator import Animator
from models.architecture import Architecture
from models.batch import Batch
from models.bundle import open_bundle
from models.checkpoints import check_exportable
from models.network.network import network_on_meta
from models.network.parameter_names import public_names
from tests.support.motion import MOTION, conditioned_bundle
from tests.support.small_animator import small_animator, small_architecture
from tests.support.small_stages import make_bundle, small_config, small_sets
from training.config import RunConfig, config_hash, resolve, trajectory_hash
from training.initialisation import open_source_bundles, plan_transfers
from training.objectives.denoising import DenoisingObjective
from training.trainable import trainable_names

NEW = {f"unet.motion_embedding.{layer}.{leaf}" for layer in (0, 2) for leaf in ("weight", "bias")}
NAN = float("nan")


def conditioned(small: Architecture) -> Architecture:
    return small.model_copy(update={"unet": small.unet.model_copy(update={"motion_condition": True})})


@pytest.fixture(scope="module")
def animator() -> Animator:
    return small_animator(conditioned(small_architecture()))


def batch(motion: list[float] | None) -> Batch:
    generator = torch.Generator().manual_seed(3)
    return Batch(
        pixels=torch.randint(0, 256, (2, 3, 3, 8, 8), dtype=torch.uint8, generator=generator),
        captions=["a red ball"] * 2,
        fps=torch.full((2,), 4.0),
        condition_index=torch.zeros(2, dtype=torch.int64),
        drop_text=torch.zeros(2, dtype=torch.bool),
        drop_image=torch.zeros(2, dtype=torch.bool),
        seed=torch.tensor([5, 6]),
        keys=["a", "b"],
        motion=None if motion is None else torch.tensor(motion),
    )


def losses(animator: Animator, motion: list[float] | None, *, temporal: bool = True) -> torch.Tensor:
    return DenoisingObjective(animator)(batch(motion), temporal=temporal).samples


def test_it_is_off_by_default_and_then_nothing_mentions_it(tmp_path: Path) -> None:
    small = small_architecture()
    assert not any("motion" in name for name, _ in network_on_meta(small).named_parameters())
    make_bundle(tmp_path / "b")
    assert "motion" not in (tmp_path / "b" / "bundle.json").read_text()
    same = resolve(0, "512", ["model.unet.motion_condition=false", "data.sampling.drop_motion=0.1"])
    assert config_hash(same) == config_hash(resolve(0, "512"))
    unet = small_animator(small).network.unet
    with pytest.raises(AnimaticError, match=r"no condition for it: leave it out"):
        unet(
            torch.zeros(1, 4, 3, 4, 4), torch.tensor([5]), torch.zeros(1, 2, 32),
            torch.zeros(1, 4, 32), motion=torch.tensor([1.0]),
        )  # fmt: skip


def test_motion_is_a_setting_of_the_trajectory_that_stages_pass_to_the_loader() -> None:
    for stage in range(4):
        config = resolve(stage, "512", [MOTION])
        assert config.data.sampling.motion_condition == (stage != 1)
        assert trajectory_hash(config) != trajectory_hash(resolve(stage, "512"))
    with pytest.raises(AnimaticError, match=r"data\.sampling\.motion_condition"):
        resolve(3, "512", ["data.sampling.motion_condition=true"])
    asked = "validation.sampling.motion=0.5"
    assert resolve(3, "512", [MOTION, asked]).validation.sampling.motion == 0.5
    for stage, sets in ((3, [asked]), (1, [MOTION, asked])):
        with pytest.raises(AnimaticError, match=r"validation\.sampling\.motion is for a network with"):
            resolve(stage, "512", sets)


def test_what_is_unspecified_is_as_without_a_condition(animator: Animator) -> None:
    plain = losses(animator, None)
    assert torch.equal(losses(animator, [NAN, NAN]), plain)
    mixed = losses(animator, [2.0, NAN])
    torch.testing.assert_close(mixed[1], plain[1])
    assert not torch.isclose(mixed[0], plain[0])
    assert not torch.isclose(losses(animator, [4.0, NAN])[0], mixed[0])
    # Frames that are trained on as images have no motion.
    assert torch.equal(losses(animator, [2.0, 3.0], temporal=False), losses(animator, None, temporal=False))


def test_a_new_embedding_changes_nothing_at_first(animator: Animator) -> None:
    fresh = small_animator(small_architecture())
    state = dict(animator.network.named_parameters())
    with torch.no_grad():
        for name, parameter in fresh.network.named_parameters():
            parameter.copy_(state[name])
    start = small_animator(conditioned(small_architecture()))
    with torch.no_grad():
        for name in ("weight", "bias"):
            getattr(start.network.unet.motion_embedding[2], name).zero_()
    assert torch.equal(losses(start, [1.0, 7.0]), losses(fresh, None))


def test_the_gradient_reaches_it_from_samples_with_motion_alone(animator: Animator) -> None:
    embedding = animator.network.unet.motion_embedding
    for motion, reached in (([NAN, NAN], False), (None, False), ([0.5, NAN], True), ([0.0, 3.0], True)):
        animator.network.zero_grad()
        DenoisingObjective(animator)(batch(motion)).mean.backward()
        for parameter in embedding.parameters():
            assert parameter.grad is not None and parameter.grad.isfinite().all()
            assert bool((parameter.grad != 0).any()) == reached


def test_motion_goes_with_its_samples() -> None:
    whole = batch([0.5, 2.0])
    assert [part.motion.tolist() for part in whole.split(1)] == [[0.5], [2.0]]
    assert whole.to("cpu").motion.tolist() == [0.5, 2.0]
    assert replace(whole, motion=None).split(1)[0].motion is None


def stage(number: int, *sets: str) -> RunConfig:
    return resolve(number, "tiny", [*small_sets(number), *sets])


def test_any_stage_may_add_it_and_the_next_takes_it_over(tmp_path: Path) -> None:
    make_bundle(tmp_path / "0", 0)
    make_bundle(tmp_path / "1", 1)
    make_bundle(tmp_path / "2", 2)
    base, parents = f"init.base={tmp_path / '0'}", [f"init.parent={tmp_path / str(n)}" for n in (1, 2)]
    for config in (stage(1, base), stage(2, base, parents[0]), stage(3, parents[1])):
        switched = resolve_with(config, MOTION)
        transfers = plan_transfers(switched, open_source_bundles(switched))
        added = {name: each for name, each in transfers.items() if name in NEW}
        assert {each.origin for each in added.values()} == {"new"} and set(added) == NEW
        assert {name for name, each in added.items() if each.how == "zeros"} == {
            name for name in NEW if ".2." in name
        }
        plain = plan_transfers(config, open_source_bundles(config))
        assert {name: each for name, each in transfers.items() if name not in NEW} == plain
        assert (set(trainable_names(switched, list(transfers))) >= NEW) == (config.stage != 1)
    trained = resolve_with(stage(3, f"init.parent={tmp_path / 'm'}"), MOTION)
    conditioned_bundle(tmp_path / "m", 2)
    transfers = plan_transfers(trained, open_source_bundles(trained))
    assert {transfers[name].origin for name in NEW} == {"parent"}
    without = stage(3, f"init.parent={tmp_path / 'm'}")
    with pytest.raises(AnimaticError, match=r"4 tensors that this network does not have"):
        plan_transfers(without, open_source_bundles(without))


def resolve_with(config: RunConfig, *sets: str) -> RunConfig:
    init = [f"init.{name}={value}" for name, value in config.init if value is not None]
    return stage(config.stage, *init, *sets)


def test_its_tensors_have_public_names_that_bundles_and_exports_keep(tmp_path: Path) -> None:
    names = public_names(network_on_meta(small_config(3).model.model_copy()))
    assert not any("motion" in key for key in names.values())
    conditioned_bundle(tmp_path / "b")
    bundle = open_bundle(tmp_path / "b")
    assert bundle.info.architecture.unet.motion_condition
    keys = {key for key in bundle.shapes() if "motion" in key}
    assert keys == {name.replace("unet.", "model.diffusion_model.", 1) for name in NEW}
    loaded = bundle.animator().network.unet.motion_embedding
    assert torch.equal(loaded[0].weight, bundle.state()["model.diffusion_model.motion_embedding.0.weight"])
    with pytest.raises(AnimaticError, match="motion condition, which the published code does not know"):
        check_exportable(bundle)
