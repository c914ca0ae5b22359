"""How the first convolution begins to read the condition's latent, and the codec of the parent's latents."""

from pathlib import Path

import pytest
import torch

from core.errors import AnimaticError
from models.animator import Animator
from models.architecture import Architecture, CodecConfig
from models.bundle import BundleOrigin, open_bundle, write_bundle
from models.network.parameter_names import internal_state, public_state
from tests.support.small_stages import small_config, small_sets
from training.config import RunConfig, config_hash, resolve, trajectory_hash
from training.initialisation import Initialisation, initialise

FIRST = "unet.conv_in.weight"


def write_drawn(
    folder: Path, stage: int, architecture: Architecture, codec: CodecConfig | None = None
) -> Path:
    """A bundle with drawn weights; ``codec``: that its description names."""
    torch.manual_seed(stage)
    state = public_state(Animator(architecture).network)
    write_bundle(
        folder,
        {key: torch.randn_like(value) for key, value in state.items()},
        BundleOrigin(
            architecture=architecture.model_copy(update={"codec": codec or architecture.codec}),
            stage=stage,
            preset="tiny",
            config_hash=config_hash(small_config(stage)),
            dataset_digest=None,
            parent=None,
        ),
        model_card="# test\n",
    )
    return folder


def write_prior(folder: Path, *, share: str = "0.5") -> Path:
    """A bundle of stage 0; a share of null: without detail guidance."""
    return write_drawn(
        folder, 0, resolve(0, "tiny", [*small_sets(0), f"objective.condition_share={share}"]).model
    )


@pytest.fixture(scope="module")
def parent(tmp_path_factory) -> Path:
    return write_drawn(tmp_path_factory.mktemp("parents") / "stage2", 2, small_config(2).model)


@pytest.fixture(scope="module")
def prior(tmp_path_factory) -> Path:
    return write_prior(tmp_path_factory.mktemp("priors") / "stage0")


def stage_3(parent: Path, *sets: str) -> RunConfig:
    return resolve(3, "tiny", [*small_sets(3), f"init.parent={parent}", *sets])


def from_base(parent: Path, base: Path) -> RunConfig:
    return stage_3(parent, f"init.base={base}", "train.condition_from_base=true")


def first_convolution(bundle: Path) -> torch.Tensor:
    opened = open_bundle(bundle)
    return internal_state(opened.info.architecture, opened.state())[FIRST]


def halves(start: Initialisation) -> tuple[torch.Tensor, torch.Tensor]:
    """The weights for the noisy latent, and those for the condition's."""
    noisy, condition = start.weights[FIRST].chunk(2, dim=1)
    return noisy, condition


def test_the_condition_begins_at_zero_as_published(parent, prior):
    _, start = initialise(stage_3(parent, f"init.base={prior}"))
    noisy, condition = halves(start)
    assert noisy.count_nonzero() == noisy.numel() and condition.count_nonzero() == 0
    assert not condition.signbit().any(), "bytes of bundles that exist have no -0"
    assert start.transfers[FIRST].how.endswith("with zeros")
    assert start.base is None


def test_the_condition_begins_as_the_base_reads_it(parent, prior):
    animator, start = initialise(from_base(parent, prior))
    noisy, condition = halves(start)
    assert torch.equal(noisy, first_convolution(parent))
    assert torch.equal(condition, first_convolution(prior).chunk(2, dim=1)[1])
    assert start.transfers[FIRST].how.endswith("with those of the base")
    assert start.base == open_bundle(prior).id and start.parent == open_bundle(parent).id
    assert torch.equal(dict(animator.network.named_parameters())[FIRST].detach(), start.weights[FIRST])
    others = [transfer.origin for name, transfer in start.transfers.items() if name != FIRST]
    assert set(others) == {"parent"}


@pytest.mark.parametrize("stage", [1, 2])
def test_stages_without_detail_guidance_leave_out_the_bases_condition(prior, tmp_path, stage):
    sets = [*small_sets(stage), f"init.base={prior}"]
    if stage == 2:
        first = small_config(1)
        sets.append(f"init.parent={write_drawn(tmp_path / 'stage1', 1, first.model)}")
    _, start = initialise(resolve(stage, "tiny", sets))
    assert torch.equal(start.weights[FIRST], first_convolution(prior).chunk(2, dim=1)[0])
    assert start.transfers[FIRST].change == "narrowed"


def test_a_base_without_detail_guidance_is_refused(parent, tmp_path):
    base = write_prior(tmp_path / "stage0", share="null")
    with pytest.raises(AnimaticError, match=r"condition_from_base: init\.base .* 8 to 32 channels, without"):
        initialise(from_base(parent, base))


def test_a_missing_base_is_named(parent):
    with pytest.raises(AnimaticError, match=r"stage 3 .* needs init\.base, a bundle of a network with"):
        initialise(stage_3(parent, "init.base=null", "train.condition_from_base=true"))


def test_a_parent_with_detail_guidance_is_not_narrowed(prior, tmp_path):
    third = write_drawn(tmp_path / "stage3", 3, small_config(3).model)
    config = stage_3(third, "ablation.no_detail_guidance=true", f"init.base={prior}")
    with pytest.raises(AnimaticError, match=r"conv_in\.weight \(32, 16, 3, 3\) for \(32, 8, 3, 3\)"):
        initialise(config)


def test_the_choice_counts_only_once_it_is_set():
    plain = resolve(3, "512")
    off, on = (resolve(3, "512", [f"train.condition_from_base={value}"]) for value in ("false", "true"))
    assert not plain.train.condition_from_base
    assert (config_hash(off), trajectory_hash(off)) == (config_hash(plain), trajectory_hash(plain))
    assert config_hash(on) != config_hash(plain) and trajectory_hash(on) != trajectory_hash(plain)


def test_a_stage_refuses_a_parent_of_another_frame_codec(tmp_path):
    model = small_config(2).model
    other = model.codec.model_copy(update={"digest": "1234567890ab" + "0" * 52})
    parent = write_drawn(tmp_path / "stage2", 2, model, other)
    with pytest.raises(AnimaticError, match=r"trained with frame codec 1234567890ab, but .* has \w{12}:"):
        initialise(stage_3(parent))
