"""The range of every setting of sampling, and the defaults that bundles and results rely on."""

import math

import pytest
from pydantic import ValidationError

from models.diffusion.settings import SamplingSettings, problem_of

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


def test_a_solver_at_its_default_is_not_recorded_and_another_is():
    chosen = SamplingSettings(solver="unipc")
    recorded = chosen.model_dump(mode="json")
    assert recorded == {**SamplingSettings(eta=0).model_dump(), "solver": "unipc"}
    assert SamplingSettings.model_validate(recorded) == chosen
    assert SamplingSettings.model_validate(SamplingSettings().model_dump()).solver == "ddim"


@pytest.mark.parametrize(
    ("solver", "eta"), [("dpmpp_2m", 0), ("unipc", 0), ("sde_dpmpp_2m", 1), ("consistency", 1)]
)
def test_a_solver_sets_eta_and_refuses_another(solver, eta):
    assert SamplingSettings(solver=solver).eta == eta
    assert SamplingSettings(solver=solver, eta=eta).eta == eta
    with pytest.raises(ValidationError) as refused:
        SamplingSettings(solver=solver, eta=0.5)
    noise = "as much noise as eta 1" if eta else "no noise"
    assert problem_of(refused.value) == (
        f"solver {solver} adds {noise}, but eta is 0.5: set eta to {eta} or leave it out"
        f"{'' if solver == 'consistency' else ', or take solver ddim'}"
    )


def test_changed_settings_keep_the_others_and_a_chosen_solver_brings_its_eta():
    ancestral = SamplingSettings(eta=1.0, steps=30, fps=4.0)
    assert ancestral.changed(steps=7) == SamplingSettings(steps=7, fps=4.0)
    chosen = ancestral.changed(solver="unipc")
    assert (chosen.solver, chosen.eta, chosen.steps, chosen.fps) == ("unipc", 0.0, 30, 4.0)
    assert chosen.changed(solver="sde_dpmpp_2m").eta == 1.0
    assert chosen.changed(solver="ddim").eta == 0.0  # DDIM has any
    for contradicting in ({"solver": "unipc", "eta": 0.5}, {"solver": "euler"}, {"steps": 0}):
        with pytest.raises(ValidationError):
            ancestral.changed(**contradicting)
    with pytest.raises(ValidationError, match="eta is 1"):
        chosen.changed(eta=1.0)
