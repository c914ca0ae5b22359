"""Hostile requests to the real app: each is answered with its code in the envelope, and leaves nothing."""

import json
from collections.abc import Iterator

import pytest

from orchestration.serving.schema import API_CODES
from orchestration.serving.settings import LimitSettings, ServingSettings
from tests.support import hostile
from tests.support.serving_api import ApiService, api_service

REQUESTS = hostile.all_requests()
LIMITS = LimitSettings(
    body_bytes=hostile.BODY_BYTES,
    pixels=hostile.PIXELS,
    side=hostile.SIDE,
    prompt_chars=hostile.PROMPT_CHARS,
    requests_per_minute=1_000_000,
)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiService]:
    folder = tmp_path_factory.mktemp("hostile")
    with api_service(folder, ServingSettings(limits=LIMITS)) as service:
        service.report()
        yield service


@pytest.mark.parametrize("name", REQUESTS)
def test_a_hostile_request_is_answered_with_its_code(service, name):
    request, before = REQUESTS[name], service.stored()
    answer = service.client.request(
        request.method, request.path, content=request.body, headers=dict(request.headers)
    )
    error = answer.json()["error"]
    assert (error["code"], answer.status_code) == (request.code, API_CODES[request.code].status), error
    assert "\n" not in error["message"] and len(error["message"]) < 400
    assert service.stored() == before


def test_the_same_request_without_its_fault_is_accepted(service):
    answer = service.client.post(
        "/v1/videos", content=hostile.form(), headers=dict(REQUESTS["an unknown field"].headers)
    )
    assert answer.status_code == 202
    body = json.dumps({"input_reference": {"image_url": hostile.data_url()}, "loop": True, "fps": 5})
    answer = service.client.post("/v1/videos", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 202
    assert service.job(answer.json()["id"]).spec.first.width == 24
