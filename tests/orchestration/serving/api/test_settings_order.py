"""Whose settings win: the client's over the operator's over the model's."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from models.diffusion.settings import SamplingSettings
from models.student import StudentConfig
from orchestration.serving.jobs import ModelStatus
from orchestration.serving.jobs.records import SamplingChoice
from orchestration.serving.settings import DefaultSettings, ServingSettings
from tests.support.serving_api import MANIFEST, api_service, version

# Field of the request, of the operator's defaults and of the job; a value of each; what the model has.
SETTINGS = [
    ("num_inference_steps", "steps", 7, 9, 20),
    ("guidance_scale", "text_guidance", 2.0, 3.0, 5.0),
    ("image_guidance_scale", "image_guidance", 1.5, 2.5, None),
    ("eta", "eta", 0.25, 0.5, 1.0),
    ("conditioning_fps", "fps", 3.0, 4.0, None),
    ("num_frames", "frames", 5, 6, 8),
    ("fps", "playback", 12.0, 16.0, 8.0),
]


def serving(**changes: Any) -> ModelStatus:
    """A replica's champion."""
    return ModelStatus(name="champion", state="serving", serving=version(**changes), desired=MANIFEST)


@pytest.mark.parametrize("by_operator", [True, False])
def test_clients_win_over_operators_and_those_over_models(tmp_path: Path, by_operator: bool) -> None:
    operator = {own: value for _, own, _, value, _ in SETTINGS} if by_operator else {}
    settings = ServingSettings(defaults=DefaultSettings(**operator))
    with api_service(tmp_path, settings) as service:
        service.report()
        (offered,) = service.client.get("/v1/models").json()["data"]
        left_open = service.job(service.submit()).spec
        chosen = service.job(service.submit(**{name: value for name, _, value, _, _ in SETTINGS})).spec
    for name, own, client, operators, model in SETTINGS:
        values = [
            getattr(spec, own) if own in ("frames", "playback") else getattr(spec.sampling, own)
            for spec in (left_open, chosen)
        ]
        # What neither sets stays open in the job: the model decides when it runs.
        undecided = model if own == "playback" else None
        assert values == [operators if by_operator else undecided, client], name
        assert offered["defaults"][name] == (operators if by_operator else model), name


def test_a_value_that_a_client_sets_to_the_default_is_set(tmp_path: Path) -> None:
    settings = ServingSettings(defaults=DefaultSettings(text_guidance=3.0, eta=0.0))
    with api_service(tmp_path, settings) as service:
        service.report()
        spec = service.job(service.submit(guidance_scale=5.0, eta=1.0)).spec
    assert (spec.sampling.text_guidance, spec.sampling.eta) == (5.0, 1.0)


def test_a_solver_goes_with_its_own_noise(tmp_path: Path) -> None:
    with api_service(tmp_path, ServingSettings(defaults=DefaultSettings(eta=0.5))) as service:
        service.report()
        # The operator's eta is for the operator's solver.
        chosen = service.job(service.submit(solver="unipc")).spec.sampling
        refused = service.post(solver="unipc", eta=0.5)
        unknown = service.post(solver="euler")
    assert (chosen.solver, chosen.eta) == ("unipc", None)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "solver")
    assert "adds no noise, but eta is 0.5" in refused.json()["error"]["message"]
    assert (unknown.status_code, unknown.json()["error"]["param"]) == (400, "solver")


def test_clients_may_leave_the_operators_solver_but_not_contradict_it(tmp_path: Path) -> None:
    with api_service(tmp_path, ServingSettings(defaults=DefaultSettings(solver="unipc"))) as service:
        service.report()
        (offered,) = service.client.get("/v1/models").json()["data"]
        left_open = service.job(service.submit()).spec.sampling
        other = service.job(service.submit(solver="ddim", eta=0.5)).spec.sampling
        refused = service.post(eta=0.5)
    assert (offered["defaults"]["solver"], offered["defaults"]["eta"]) == ("unipc", 0.0)
    assert left_open.solver == "unipc"
    assert (other.solver, other.eta) == ("ddim", 0.5)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "eta")
    with pytest.raises(ValidationError, match="adds no noise, but eta is 1"):
        DefaultSettings(solver="unipc", eta=1.0)


def test_the_operators_eta_is_for_ddim_whatever_solver_the_model_records(tmp_path: Path) -> None:
    with api_service(tmp_path, ServingSettings(defaults=DefaultSettings(eta=0.5))) as service:
        service.report(serving(sampling=SamplingSettings(solver="unipc", eta=0)))
        (offered,) = service.client.get("/v1/models").json()["data"]
        left_open = service.job(service.submit()).spec.sampling
        own = service.job(service.submit(solver="ddim")).spec.sampling
    assert (offered["defaults"]["solver"], offered["defaults"]["eta"]) == ("unipc", 0.0)
    assert (left_open.eta, own.eta) == (None, 0.5)


def test_what_trades_exactness_for_speed_is_the_operators(tmp_path: Path) -> None:
    chosen = {"guidance_interval": (0.0, 0.8), "guidance_every": 2, "cache_every": 3}
    with api_service(tmp_path, ServingSettings(defaults=DefaultSettings(**chosen))) as service:
        service.report()
        video = service.submit()
        sampling = service.job(video).spec.sampling
        refused = service.post(cache_every=4)
        (offered,) = service.client.get("/v1/models").json()["data"]
        queued = service.client.get(f"/v1/videos/{video}").json()
        service.complete(service.claim())
        made = service.client.get(f"/v1/videos/{video}").json()
    assert sampling.model_dump(exclude_none=True) == chosen
    for answer in (offered["defaults"], queued, made):
        assert {name: answer[name] for name in chosen} == chosen | {"guidance_interval": [0.0, 0.8]}
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "unknown_parameter")
    assert "cache_every" not in SamplingChoice().model_dump()  # of a job from before the setting existed


def test_steps_are_checked_with_the_operators_solver(tmp_path: Path) -> None:
    settings = ServingSettings(defaults=DefaultSettings(solver="unipc", guidance_every=4, cache_every=3))
    with api_service(tmp_path, settings) as service:
        service.report()
        fewest, most = (service.job(service.submit(num_inference_steps=n)).spec.sampling for n in (1, 100))
        none, many = service.post(num_inference_steps=0), service.post(num_inference_steps=101)
        other = service.post(solver="consistency")
    assert [(each.steps, each.solver) for each in (fewest, most)] == [(1, "unipc"), (100, "unipc")]
    for refused in (none, many):
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, "num_inference_steps")
    assert (other.status_code, other.json()["error"]["param"]) == (400, "solver")
    assert "is for networks that were distilled for it" in other.json()["error"]["message"]


# What an operator may have chosen for the networks before.
FOR_OTHERS = DefaultSettings(
    solver="unipc", eta=0.0, guidance_interval=(0.0, 0.8), guidance_every=2, cache_every=2, image_guidance=1.5
)


@pytest.mark.parametrize("points", [None, 20])
def test_a_distilled_model_is_asked_for_what_it_was_trained_for(tmp_path: Path, points: int | None) -> None:
    own = SamplingSettings(steps=4, text_guidance=2.0)
    if points:
        own = own.changed(solver="consistency")
    student = StudentConfig(text_guidance=(1.0, 4.0), points=points)
    with api_service(tmp_path, ServingSettings(defaults=FOR_OTHERS)) as service:
        service.report(serving(sampling=own, student=student))
        (offered,) = service.client.get("/v1/models").json()["data"]
        left_open = service.job(service.submit()).spec.sampling
        scale, image = service.post(guidance_scale=4.5), service.post(image_guidance_scale=1.5)
        solver = service.post(solver="dpmpp_2m" if points else "consistency")
        steps = service.post(num_inference_steps=21)
    # What the operator chose for others is left out where it means nothing.
    assert left_open.model_dump(exclude_none=True) == (
        {"cache_every": 2} if points else {"solver": "unipc", "cache_every": 2}
    )
    assert offered["defaults"]["solver"] == ("consistency" if points else "unipc")
    assert offered["defaults"]["guidance_every"] == 1
    assert offered["limits"]["max_steps"] == (20 if points else 100)
    solvers = offered["limits"]["solvers"]
    assert solvers == (["consistency"] if points else ["ddim", "dpmpp_2m", "unipc", "sde_dpmpp_2m"])
    errors = {refused.json()["error"]["param"]: refused.json() for refused in (scale, image, solver)}
    assert set(errors) == {"guidance_scale", "image_guidance_scale", "solver"}
    message = errors["guidance_scale"]["error"]["message"]
    assert message.startswith("guidance_scale 4.5: this network was distilled for 1 to 4")
    assert steps.status_code == (400 if points else 202)


def test_an_operator_who_asks_a_distilled_model_for_more_steps_learns_it_from_the_first_request(
    tmp_path: Path,
) -> None:
    with api_service(tmp_path, ServingSettings(defaults=DefaultSettings(steps=50))) as service:
        own = SamplingSettings(steps=4, text_guidance=2.0, solver="consistency")
        service.report(serving(sampling=own, student=StudentConfig(points=20)))
        refused = service.post()
        chosen = service.job(service.submit(num_inference_steps=8)).spec.sampling
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "num_inference_steps")
    assert "at most 20 steps" in refused.json()["error"]["message"]
    assert chosen.steps == 8


def test_motion_is_for_models_that_were_trained_for_it_within_their_range(tmp_path: Path) -> None:
    with api_service(tmp_path) as service:
        service.report(serving(motion=(0.1, 0.8)))
        (offered,) = service.client.get("/v1/models").json()["data"]
        chosen = service.submit(motion=0.25)
        left_open = service.job(service.submit()).spec
        too_much, negative = service.post(motion=0.81), service.post(motion=-1)
        asked = service.job(chosen).spec
        answered = service.client.get(f"/v1/videos/{chosen}").json()["motion"]
    assert (offered["limits"]["min_motion"], offered["limits"]["max_motion"]) == (0.1, 0.8)
    assert offered["defaults"]["motion"] is None
    assert (asked.sampling.motion, answered, left_open.sampling.motion) == (0.25, 0.25, None)
    # Jobs without a motion are stored as before there was one.
    assert "motion" not in left_open.model_dump_json()
    for refused in (too_much, negative):
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, "motion")
    assert "is 0.81: champion makes 0.1 to 0.8" in too_much.json()["error"]["message"]


def test_motion_is_refused_for_other_models(tmp_path: Path) -> None:
    with api_service(tmp_path) as service:
        service.report()
        (offered,) = service.client.get("/v1/models").json()["data"]
        refused = service.post(motion=0.25)
    assert offered["limits"]["max_motion"] is None
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "motion")
    assert "which was not trained for it" in refused.json()["error"]["message"]
