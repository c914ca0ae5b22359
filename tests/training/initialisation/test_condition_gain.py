"""How the first convolution begins to read the condition's latent, and the codec of the parent's latents."""

from pathlib import Path

import pytest
import torch

from core.errors import AnimaticError
from models.animator import Animator
from models.architecture import CodecConfig
from models.bundle import BundleOrigin, write_bundle
from models.network.parameter_names import public_state
from tests.support.small_stages import small_config, small_sets
from training.config import RunConfig, config_hash, resolve, trajectory_hash
from training.initialisation import Initialisation, initialise

FIRST = "unet.conv_in.weight"


def write_parent(folder: Path, codec: CodecConfig | None = None) -> Path:
    """A bundle of stage 2 with drawn weights; ``codec``: that its description names."""
    config = small_config(2)
    torch.manual_seed(0)
    state = public_state(Animator(config.model).network)
    write_bundle(
        folder,
        {key: torch.randn_like(value) for key, value in state.items()},
        BundleOrigin(
            architecture=config.model.model_copy(update={"codec": codec or config.model.codec}),
            stage=2,
            preset="tiny",
            config_hash=config_hash(config),
            dataset_digest=None,
            parent=None,
        ),
        model_card="# test\n",
    )
    return folder


@pytest.fixture(scope="module")
def parent(tmp_path_factory) -> Path:
    return write_parent(tmp_path_factory.mktemp("parents") / "stage2")


def stage_3(parent: Path, *sets: str) -> RunConfig:
    return resolve(3, "tiny", [*small_sets(3), f"init.parent={parent}", *sets])


def halves(start: Initialisation) -> tuple[torch.Tensor, torch.Tensor]:
    """The weights for the noisy latent, and those for the condition's."""
    noisy, condition = start.weights[FIRST].chunk(2, dim=1)
    return noisy, condition


def test_without_gain_the_condition_begins_at_zero_as_published(parent):
    _, start = initialise(stage_3(parent, "train.condition_gain=0"))
    noisy, condition = halves(start)
    assert noisy.count_nonzero() == noisy.numel() and condition.count_nonzero() == 0
    assert not condition.signbit().any(), "bytes of bundles that exist have no -0"
    assert start.transfers[FIRST].how.endswith("with zeros")


def test_with_a_gain_the_condition_begins_as_a_share_of_the_noisy_latents_weights(parent):
    animator, start = initialise(stage_3(parent, "train.condition_gain=0.5"))
    noisy, condition = halves(start)
    assert torch.equal(condition, noisy * 0.5) and condition.count_nonzero() == condition.numel()
    assert start.transfers[FIRST].how.endswith("with copies times 0.5")
    assert torch.equal(dict(animator.network.named_parameters())[FIRST].detach(), start.weights[FIRST])


def test_the_gain_counts_only_once_it_is_set():
    plain = resolve(3, "512")
    zero, half = (resolve(3, "512", [f"train.condition_gain={gain}"]) for gain in (0, 0.5))
    assert plain.train.condition_gain == 0
    assert (config_hash(zero), trajectory_hash(zero)) == (config_hash(plain), trajectory_hash(plain))
    assert config_hash(half) != config_hash(plain) and trajectory_hash(half) != trajectory_hash(plain)
    with pytest.raises(AnimaticError, match=r"train\.condition_gain"):
        resolve(3, "512", ["train.condition_gain=-0.5"])


def test_a_stage_refuses_a_parent_of_another_frame_codec(tmp_path):
    own = small_config(3).model.codec
    parent = write_parent(tmp_path / "stage2", own.model_copy(update={"digest": "1234567890ab" + "0" * 52}))
    with pytest.raises(AnimaticError, match=r"trained with frame codec 1234567890ab, but .* has \w{12}:"):
        initialise(stage_3(parent))
