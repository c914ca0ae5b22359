"""The full-size models have exactly the published tensors; nothing is allocated to see it."""

import math

import pytest
import torch
from safetensors.torch import load_file

from models.checkpoints import VARIANTS, published_layout
from models.checkpoints.schedule import schedule_buffers
from models.network.parameter_names import public_shapes
from tests.support.paths import PUBLIC_KEYS
from training.config import resolve

FILES = {
    "dynamicrafter-256": "dynamicrafter_256",
    "dynamicrafter-512": "dynamicrafter_512_and_1024",
    "dynamicrafter-1024": "dynamicrafter_512_and_1024",
    "dynamicrafter-512-interp": "dynamicrafter_512_and_1024",
    "videocrafter2": "videocrafter2_t2v_unet",
    "stable-diffusion-2.1": "stable_diffusion_2_1_unet",
}
PARAMETERS = {
    "model.diffusion_model.": 1_438_854_980,
    "image_proj_model.": 48_787_456,
    "first_stage_model.": 83_653_863,
    "cond_stage_model.": 354_032_641,
    "embedder.": 683_800_065,
}


def published(name: str) -> dict[str, tuple[int, ...]]:
    rows = (line.split("\t") for line in (PUBLIC_KEYS / f"{FILES[name]}.tsv").read_text().splitlines())
    return {key: tuple(map(int, shape.split("x"))) if shape else () for key, shape in rows}


@pytest.mark.parametrize("name", FILES)
def test_full_size_layouts_are_the_published_ones(name):
    wanted = published(name)
    if name == "dynamicrafter-256":
        renamed = {key.replace("framestride_embed", "fps_embedding"): x for key, x in wanted.items()}
        assert len(renamed.keys() - wanted.keys()) == 4
        wanted = renamed
    assert VARIANTS[name].required() == wanted


def test_every_variant_is_compared_with_its_published_file():
    assert set(VARIANTS) == set(FILES)


@pytest.mark.parametrize("name", FILES)
def test_variants_have_the_sampling_settings_of_their_preset(name):
    variant = VARIANTS[name]
    assert variant.sampling == resolve(variant.stage, variant.preset).validation.sampling


def test_parameter_counts_are_the_published_ones():
    tensors = VARIANTS["dynamicrafter-512"].required()
    for prefix, count in PARAMETERS.items():
        assert sum(math.prod(x) for key, x in tensors.items() if key.startswith(prefix)) == count, prefix
    assert sum(math.prod(x) for key, x in tensors.items() if "." in key) == 2_609_129_005
    gated = VARIANTS["dynamicrafter-256"].required()
    assert sum(math.prod(x) for key, x in gated.items() if "." in key) == 2_609_129_021
    image = public_shapes(VARIANTS["stable-diffusion-2.1"].architecture)
    assert sum(map(math.prod, image.values())) == 865_910_724


@pytest.mark.parametrize("case", ["256", "512"])
def test_schedule_buffers_are_the_published_ones(case):
    expected = load_file(PUBLIC_KEYS.parent / f"{case}.safetensors")
    config = VARIANTS[f"dynamicrafter-{case}"].architecture.diffusion
    buffers = schedule_buffers(config)
    assert {key: tuple(value.shape) for key, value in buffers.items()} == published_layout(
        VARIANTS[f"dynamicrafter-{case}"].architecture
    )["schedule"]
    names = {"alphas_cumprod", "scale_arr"} & expected.keys()
    assert len(names) == 1 + (config.base_scale is not None)
    for name in names:
        torch.testing.assert_close(buffers[name], expected[name], rtol=1e-6, atol=1e-9)
    for value in buffers.values():
        assert value.dtype == torch.float32
        assert value.isfinite().all()


def test_schedule_buffers_satisfy_the_identities_of_the_process():
    for name in ("dynamicrafter-256", "dynamicrafter-512"):
        config = VARIANTS[name].architecture.diffusion
        b = {key: value.double() for key, value in schedule_buffers(config).items()}
        bar, before = b["alphas_cumprod"], b["alphas_cumprod_prev"]
        torch.testing.assert_close(bar, before * (1 - b["betas"]), rtol=1e-4, atol=1e-7)
        torch.testing.assert_close(b["sqrt_alphas_cumprod"] ** 2, bar, rtol=1e-5, atol=1e-8)
        # The posterior's mean at x_0 = 1 and x_t = sqrt(alpha bar) is sqrt(alpha bar of the step before).
        mean = b["posterior_mean_coef1"] + b["posterior_mean_coef2"] * b["sqrt_alphas_cumprod"]
        torch.testing.assert_close(mean, before.sqrt(), rtol=1e-4, atol=1e-6)
        inverse = 1 / bar.sqrt() if config.parameterization == "eps" else torch.zeros_like(bar)
        torch.testing.assert_close(b["sqrt_recip_alphas_cumprod"], inverse, rtol=1e-5, atol=0)
