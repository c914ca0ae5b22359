"""What a stage trains its network to predict, against what the network's frozen part predicts."""

from pathlib import Path

import pytest
import torch

from core.errors import AnimaticError
from models import PRIOR
from models.architecture import DiffusionConfig
from models.bundle import open_bundle
from models.checkpoints import VARIANTS
from models.diffusion.schedule import Diffusion
from models.network.parameter_names import public_shapes
from tests.support.layouts import hollow_bundle
from training.config import RunConfig, presets, resolve
from training.initialisation import DiffusionChange, diffusion_changes, open_source_bundles, plan_transfers


def base_of_stage_1(preset: str) -> DiffusionConfig:
    if preset == "tiny":
        return open_bundle(PRIOR, verify=False).info.architecture.diffusion
    return VARIANTS["stable-diffusion-2.1"].architecture.diffusion


@pytest.mark.parametrize("preset", presets())
def test_stage_1_trains_what_its_frozen_base_predicts(preset):
    config = resolve(1, preset)
    assert config.model.diffusion == base_of_stage_1(preset)
    if config.model.diffusion.parameterization == "eps":
        sampling = config.validation.sampling
        assert (sampling.spacing, sampling.guidance_rescale) == ("uniform", 0.0)
    # From stage 2 on every preset is the published model again.
    assert resolve(2, preset).model.diffusion == resolve(3, preset).model.diffusion


def test_a_perfect_base_has_no_loss_in_stage_1_of_the_512_model():
    noise, clean = torch.randn(2, 4, 4, 1, 2, 2, generator=torch.Generator().manual_seed(0)).unbind(0)
    steps = torch.tensor([0, 300, 700, 999])
    _, target = Diffusion(resolve(1, "512").model.diffusion).diffuse(clean, noise, steps)
    assert torch.equal(target, noise)


@pytest.fixture
def base(tmp_path) -> Path:
    """A text-to-video network of preset tiny: it predicts v at zero terminal SNR."""
    model = resolve(0, "tiny").model
    return hollow_bundle(tmp_path / "base", public_shapes(model), model)


def planned(config: RunConfig) -> list[DiffusionChange]:
    sources = open_source_bundles(config, verify=False)
    return diffusion_changes(config, sources, plan_transfers(config, sources))


EPSILON = ["model.diffusion.parameterization=eps", "model.diffusion.zero_terminal_snr=false"]


@pytest.mark.parametrize(
    ("sets", "named"),
    [
        (EPSILON, "{parameterization: v, zero_terminal_snr: true}"),
        (["model.diffusion.base_scale=0.5"], "{base_scale: null}"),
        (["model.diffusion.timesteps=500"], "{timesteps: 1000}"),
    ],
)
def test_frozen_spatial_layers_refuse_another_diffusion_and_name_their_own(base, sets, named):
    config = resolve(1, "tiny", [f"init.base={base}", *sets])
    with pytest.raises(AnimaticError, match=r"stage 1 freezes the spatial layers of init\.base") as caught:
        plan_transfers(config, open_source_bundles(config, verify=False))
    message = str(caught.value)
    assert message.endswith(f"--set 'model.diffusion={named}'")
    assert planned(resolve(1, "tiny", [f"init.base={base}", *sets, f"model.diffusion={named}"])) == []


def test_spatial_layers_refuse_another_diffusion_if_only_some_of_them_are_trained(base):
    sets = [f"init.base={base}", *EPSILON]
    with pytest.raises(AnimaticError, match="freezes the spatial layers"):
        planned(resolve(1, "tiny", [*sets, "train.trainable=['unet.conv_*']"]))
    whole = planned(resolve(1, "tiny", [*sets, "train.trainable=['unet.*']"]))
    assert [change.name for change in whole] == ["parameterization", "zero_terminal_snr"]


def test_trained_spatial_layers_follow_another_diffusion_which_the_plan_states(base, tmp_path):
    first = resolve(1, "tiny", [f"init.base={base}"])
    parent = hollow_bundle(tmp_path / "parent", public_shapes(first.model), first.model, stage=1)
    sets = [f"init.base={base}", f"init.parent={parent}", "model.diffusion.base_scale=0.5"]
    changes = planned(resolve(2, "tiny", sets))
    assert changes == [DiffusionChange(source, "base_scale", None, 0.5) for source in ("base", "parent")]
    assert changes[0].in_words == "model.diffusion.base_scale: null in the base, 0.5 in this run"
    assert planned(resolve(2, "tiny", sets[:2])) == []
