"""The range of every setting of sampling, and the defaults that bundles and results rely on."""

import math

import pytest
from pydantic import ValidationError

from models.diffusion.settings import SamplingSettings

RANGES = {
    "steps": (1, 1000),
    "eta": (0, 1),
    "text_guidance": (0, None),
    "image_guidance": (0, None),
    "guidance_rescale": (0, 1),
    "fps": (math.ulp(0.0), 1000),
    "seed": (0, 2**44 - 1),  # torch takes 64 bits, of which the clips of a batch take 20
}


@pytest.mark.parametrize("name", RANGES)
def test_a_setting_has_its_range(name):
    least, most = RANGES[name]
    for value in (least, most):
        if value is not None:
            assert getattr(SamplingSettings.model_validate({name: value}), name) == value
    outside = [math.inf, math.nan]
    outside += [least - 1] if least == int(least) else [0]
    outside += [] if most is None else [most + 1]
    for value in outside:
        with pytest.raises(ValidationError, match=name):
            SamplingSettings.model_validate({name: value})


def test_defaults_are_those_of_earlier_results():
    assert SamplingSettings().model_dump() == {
        "steps": 50,
        "eta": 1.0,
        "text_guidance": 7.5,
        "image_guidance": None,
        "guidance_rescale": 0.0,
        "spacing": "uniform_trailing",
        "fps": None,
        "seed": 0,
        "precision": "float32",
    }
