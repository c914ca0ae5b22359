"""Weights transferred between small stages: values, precision and memory, and bundles that do not fit."""

import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from core.errors import AnimaticError
from models.animator import Animator
from models.bundle import BundleOrigin, write_bundle
from models.network.parameter_names import public_state
from orchestration.cli import app
from training.config import RunConfig, resolve
from training.initialisation import initialise, open_source_bundles, plan_transfers

SMALL = (
    "model.height=32",
    "model.width=32",
    "model.unet={model_channels: 32, channel_mult: [1, 2], num_head_channels: 16, norm_groups: 8}",
    "model.unet.attention_resolutions=[2]",
    "model.unet.context_dim=32",
    "model.encoders.text={width: 32, layers: 2, heads: 2}",
    "model.encoders.image={width: 32, layers: 1, heads: 2, patch_size: 16, image_size: 32}",
    "init.base=null",
    "train.condition_from_base=false",
)
CONTEXT = (
    "model.context={dim: 32, depth: 1, heads: 2, dim_head: 16, queries: 4, image_dim: 32, context_dim: 32}"
)
QUERIES = "context.latents"


def small_config(stage: int, *sets: str, frames: int = 4) -> RunConfig:
    context = [CONTEXT] if stage else []
    return resolve(stage, "tiny", [*SMALL, *context, f"model.frames={frames}", *sets])


def small_bundle(folder: Path, config: RunConfig, dtype: torch.dtype | None = None) -> Path:
    """A bundle of random weights, none of them zero."""
    torch.manual_seed(config.stage)
    state = public_state(Animator(config.model).network)
    write_bundle(
        folder,
        {key: torch.randn_like(value) for key, value in state.items()},
        BundleOrigin(
            architecture=config.model,
            stage=config.stage,
            preset="tiny",
            config_hash="0" * 64,
            dataset_digest=None,
            parent=None,
        ),
        model_card="# test\n",
        dtype=dtype,
    )
    return folder


@pytest.mark.parametrize("stage", [0, 1])
def test_new_weights_are_as_the_listing_describes(stage, tmp_path):
    sets = ["model.unet.learnable_gate=true"]
    if stage == 1:
        base = small_config(0)
        unet = base.model.unet.model_copy(update={"fps_condition": False, "temporal": False})
        image = base.model_copy(update={"model": base.model.model_copy(update={"unet": unet})})
        sets.append(f"init.base={small_bundle(tmp_path / 'sd', image)}")
    animator, start = initialise(small_config(stage, *sets))
    described = {name: transfer.how for name, transfer in start.transfers.items() if transfer.origin == "new"}
    parameters = dict(animator.network.named_parameters())
    assert described and (stage == 1 or set(described) == set(parameters))
    for name, how in described.items():
        value = parameters[name].detach()
        assert (how == "zeros") == bool((value == 0).all()), name
        assert (how == "ones") == bool((value == 1).all()), name
        if how.startswith("torch's default for"):
            layer = animator.network.get_submodule(name.rpartition(".")[0])
            bases = [base.__name__ for base in type(layer).__mro__ if base.__module__.startswith("torch")]
            assert how.endswith(bases[0])
            assert value.abs().max() <= 1 / math.sqrt(layer.weight[0].numel())
        elif how not in ("zeros", "ones"):
            assert (name, how) == (QUERIES, "normal / sqrt(width)")
            assert float(value.std()) * math.sqrt(value.shape[-1]) == pytest.approx(1, rel=0.15)


@pytest.mark.parametrize(("frames", "taken"), [(2, [0, 3]), (4, [0, 1, 2, 3]), (6, [0, 1, 1, 2, 2, 3])])
def test_a_clip_of_another_length_shares_out_the_queries_per_frame(frames, taken, tmp_path):
    parent = small_bundle(tmp_path / "parent", small_config(2))
    animator, start = initialise(small_config(3, f"init.parent={parent}", frames=frames))
    sets = torch.cat([_latents(parent)[:, 4 * index : 4 * index + 4] for index in taken], dim=1)
    assert torch.equal(animator.network.context.latents.detach(), sets)
    assert start.transfers[QUERIES].how == (
        "as it is" if frames == 4 else f"4 queries for each of 4 frames shared out to {frames} frames"
    )


@pytest.mark.parametrize("frames", [3, 8])
def test_the_queries_of_an_image_are_repeated_for_any_number_of_frames(frames, tmp_path):
    base = small_bundle(tmp_path / "base", small_config(0))
    parent = small_bundle(tmp_path / "parent", small_config(1))
    animator, start = initialise(small_config(2, f"init.base={base}", f"init.parent={parent}", frames=frames))
    assert torch.equal(animator.network.context.latents.detach(), _latents(parent).repeat(1, frames, 1))
    assert start.transfers[QUERIES].how == f"4 queries of an image repeated for {frames} frames"


def test_sets_of_another_size_are_not_taken_for_other_frames(tmp_path):
    parent = small_bundle(tmp_path / "parent", small_config(2, "model.context.queries=2", frames=8))
    with pytest.raises(AnimaticError, match=r"2 queries per frame, .*4: set model\.context\.queries=2"):
        initialise(small_config(3, f"init.parent={parent}", frames=4))


def test_half_precision_bundles_stay_in_half_precision_until_they_are_used(tmp_path):
    parent = small_bundle(tmp_path / "parent", small_config(2), torch.float16)
    animator, start = initialise(small_config(3, f"init.parent={parent}"))
    parameters = dict(animator.network.named_parameters())
    assert {value.dtype for value in start.weights.values()} == {torch.float16}
    assert {value.dtype for value in parameters.values()} == {torch.float32}
    assert all(torch.equal(parameters[name].detach(), value.float()) for name, value in start.weights.items())
    first = parameters["unet.conv_in.weight"]
    assert first[:, first.shape[1] // 2 :].abs().max() == 0 < first[:, : first.shape[1] // 2].abs().min()


def test_kept_weights_no_longer_depend_on_the_bundles(tmp_path):
    parent = small_bundle(tmp_path / "parent", small_config(2))
    _, start = initialise(small_config(3, f"init.parent={parent}"))
    frozen = [name for name, transfer in start.transfers.items() if transfer.kind == "temporal"]
    kept = start.only(frozen)
    expected = {name: value.clone() for name, value in kept.weights.items()}
    file = parent / "model.safetensors"
    size = file.stat().st_size
    with file.open("r+b") as raw:
        raw.seek(size // 2)
        raw.write(bytes(size - size // 2))
    assert set(kept.weights) == set(frozen) < set(start.transfers)
    assert all(torch.equal(kept.weights[name], value) for name, value in expected.items())


def test_training_verifies_what_the_listing_trusts(tmp_path):
    parent = small_bundle(tmp_path / "parent", small_config(2))
    with (parent / "model.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x7f")
    config = small_config(3, f"init.parent={parent}")
    assert plan_transfers(config, open_source_bundles(config, verify=False))
    with pytest.raises(AnimaticError, match="tampered"):
        initialise(config)


def test_a_damaged_or_missing_bundle_is_one_clear_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    parent = small_bundle(tmp_path / "parent", small_config(2))
    with (parent / "model.safetensors").open("r+b") as file:
        file.truncate(200)
    config = small_config(3, f"init.parent={parent}")
    with pytest.raises(AnimaticError, match=r"weights of bundle .*parent are damaged"):
        plan_transfers(config, open_source_bundles(config, verify=False))
    for stage, message in ((1, "needs init.base"), (3, "make train STAGE=2 PRESET=256")):
        command = ["train", "--stage", str(stage), "--preset", "256", "--print-initialisation"]
        result = CliRunner().invoke(app, command)
        assert result.exit_code == 1
        assert message in result.stderr and len(result.stderr.splitlines()) == 1


def _latents(bundle: Path) -> torch.Tensor:
    return load_file(bundle / "model.safetensors")["image_proj_model.latents"]


def test_a_finished_network_is_continued_unchanged(tmp_path):
    finished = small_bundle(tmp_path / "finished", small_config(3))
    config = small_config(3, f"init.parent={finished}")
    transfers = plan_transfers(config, open_source_bundles(config))
    assert {transfer.origin for transfer in transfers.values()} == {"parent"}
    animator, _ = initialise(config)
    published = load_file(finished / "model.safetensors")
    assert all(torch.equal(value, published[key]) for key, value in public_state(animator.network).items())


def test_trained_weights_are_merged_with_the_frozen_ones(tmp_path):
    parent = small_bundle(tmp_path / "parent", small_config(2))
    _, start = initialise(small_config(3, f"init.parent={parent}"))
    name = "unet.conv_out.bias"
    trained = {name: torch.zeros(start.transfers[name].shape)}
    whole = start.with_trained(trained)
    assert whole[name] is trained[name] and list(whole) == list(start.weights)
    assert all(whole[other] is start.weights[other] for other in whole if other != name)
    for wrong, message in (
        ({"unet.other": torch.zeros(1)}, "unet.other does not belong"),
        ({name: torch.zeros(99)}, "does not belong"),
        ({name: torch.full_like(trained[name], float("nan"))}, "values that are not finite"),
    ):
        with pytest.raises(ValueError, match=message):
            start.with_trained(wrong)
