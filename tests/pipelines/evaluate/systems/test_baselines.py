"""Baselines: diffusers' own pipelines, built tiny with random weights, loaded from a folder and run."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from core.errors import AnimaticError
from pipelines.evaluate.clips import RealClip, SampleShape
from pipelines.evaluate.systems import BaselineSettings, baseline_system
from pipelines.evaluate.systems.baseline_pipeline import generated_size
from pipelines.evaluate.systems.baselines import BASELINES
from tests.support.small_pipelines import write_pipeline

PICTURE = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)


@pytest.fixture(scope="module", params=BASELINES)
def settings(request, tmp_path_factory):
    weights = write_pipeline(request.param, tmp_path_factory.mktemp("weights") / request.param)
    return BaselineSettings(request.param, weights, steps=2, pixels=64 * 64)


def clip_of(key: str, caption: str) -> RealClip:
    return RealClip(key, caption, 8.0, PICTURE[None], source=key)


def test_a_clip_depends_on_its_picture_prompt_and_key_alone(settings):
    system = baseline_system(settings, SampleShape(3, 32, 32))
    assert system.record["name"] == settings.name
    opened = system.open("cpu")
    assert opened.animator is None
    both = opened.generate([clip_of("a", "a boat"), clip_of("b", "a red ball")], seed=0)
    assert both.shape == (2, 3, 32, 32, 3)
    assert both.dtype == np.uint8
    assert both[0].std() > 1
    assert not np.array_equal(both[0], both[1])
    torch.manual_seed(7)  # what others draw has no influence
    assert np.array_equal(opened.generate([clip_of("a", "a boat")], seed=0), both[:1])
    prompted = opened.generate([clip_of("a", "a red ball flies over the green hill")], seed=0)
    assert np.array_equal(prompted, both[:1]) is not BASELINES[settings.name].takes_prompt

    unet = next((settings.weights / "unet").glob("*.safetensors"))
    content = unet.read_bytes()
    unet.write_bytes(content[:-1])
    with pytest.raises(AnimaticError, match="has changed since the evaluation began: rerun it"):
        system.open("cpu")
    unet.write_bytes(content)


def test_recommended_parameters_are_recorded_and_overridden(settings):
    recommended = BaselineSettings(settings.name, settings.weights).sampling()
    assert recommended["num_inference_steps"] in (25, 50)
    assert recommended["pixels"] == BASELINES[settings.name].pixels
    assert settings.sampling() == {**recommended, "num_inference_steps": 2, "pixels": 4096}


def test_weights_that_are_not_the_systems_are_refused(settings, tmp_path):
    weights = tmp_path / "weights"
    shutil.copytree(settings.weights, weights)
    copied = BaselineSettings(settings.name, weights)
    index = weights / "model_index.json"
    content = json.loads(index.read_text())

    index.write_text(json.dumps({**content, "scheduler": ["os", "system"]}))
    with pytest.raises(AnimaticError, match="scheduler is not a part of diffusers or transformers"):
        copied.check()
    index.write_text(json.dumps({**content, "_class_name": "OtherPipeline"}))
    with pytest.raises(AnimaticError, match=rf"is a OtherPipeline; --baseline {settings.name} needs a"):
        copied.check()
    index.write_text(json.dumps(content))
    for path in (weights / "unet").glob("*.safetensors"):
        path.rename(path.with_suffix(".bin"))
    with pytest.raises(AnimaticError, match="unet has no safetensors: pickled weights are not loaded"):
        baseline_system(copied, SampleShape(3, 32, 32))
    index.unlink()
    with pytest.raises(AnimaticError, match=r"has no model_index\.json: pass the folder of a"):
        copied.check()


def test_weights_in_half_precision_alone_are_found(tmp_path):
    settings = BaselineSettings("i2vgen-xl", tmp_path)
    (tmp_path / "unet").mkdir()
    Path(tmp_path, "unet", "diffusion_pytorch_model.fp16.safetensors").touch()
    assert settings.variant() == "fp16"
    Path(tmp_path, "unet", "diffusion_pytorch_model.safetensors").touch()
    assert settings.variant() is None


@pytest.mark.parametrize(
    ("picture", "pixels", "size"),
    [((256, 256), 576 * 1024, (768, 768)), ((320, 512), 576 * 1024, (576, 960)), ((8, 8), 1, (64, 64))],
)
def test_pictures_keep_their_aspect_at_the_recommended_size(picture, pixels, size):
    assert generated_size(picture, pixels) == size
