"""Every error has one body, whatever raised it; faults are answered with an id, which the log has."""

import logging

import pytest

from orchestration.serving.jobs import JobStoreError
from orchestration.serving.schema import ErrorBody
from tests.support.serving_api import ApiService


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing", 404, "not_found"),
        ("GET", "/v1/videos/video_0", 404, "not_found"),
        ("GET", "/v1/videos/..%2f..%2fetc%2fpasswd", 404, "not_found"),
        ("GET", "/v1/videos/video_0/content", 404, "not_found"),
        ("GET", "/v1/videos/video_0/events", 404, "not_found"),
        ("DELETE", "/v1/videos/video_0", 404, "not_found"),
        ("PUT", "/v1/videos", 405, "method_not_allowed"),
        ("GET", "/v1/videos?limit=0", 400, "invalid_request"),
        ("GET", "/v1/videos?status=done", 400, "invalid_request"),
        ("GET", "/v1/admin/status", 403, "forbidden"),
    ],
)
def test_errors_have_one_body(shared: ApiService, method: str, path: str, status: int, code: str) -> None:
    answer = shared.client.request(method, path)
    error = ErrorBody.model_validate_json(answer.content).error
    assert (answer.status_code, error.code) == (status, code)
    assert "\n" not in error.message
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_wrong_method_is_answered_with_the_right_ones(shared: ApiService) -> None:
    assert shared.client.patch("/v1/videos").headers["allow"] == "GET, POST"


def test_a_fault_is_answered_with_the_id_of_its_log_entry(
    service: ApiService, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails() -> None:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr(service.store, "replicas", fails)
    with caplog.at_level(logging.ERROR):
        answer = service.client.get("/v1/models")
    number = answer.headers["x-request-id"]
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal")
    assert number in answer.json()["error"]["message"]
    assert "secret detail" not in answer.text
    assert number in caplog.text
    assert "secret detail" in caplog.text


@pytest.mark.parametrize(("given", "used"), [("0ce94f70-d9f0", True), ("a\tb", False), ("a" * 101, False)])
def test_a_fault_has_the_id_that_a_proxy_gave_its_request(
    service: ApiService, monkeypatch: pytest.MonkeyPatch, given: str, used: bool
) -> None:
    monkeypatch.setattr(service.store, "replicas", lambda: 1 / 0)
    answer = service.client.get("/v1/models", headers={"X-Request-Id": given})
    assert (answer.headers["x-request-id"] == given) is used
    assert answer.headers["x-request-id"] in answer.json()["error"]["message"]


def test_an_outage_of_the_database_is_answered_with_the_time_to_retry(
    service: ApiService, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails() -> None:
        raise JobStoreError("postgresql://user@host does not answer")

    monkeypatch.setattr(service.store, "replicas", fails)
    answer = service.client.get("/readyz")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "unavailable")
    assert "postgresql" not in answer.text
    assert answer.headers["retry-after"] == "5"
    assert service.client.get("/livez").status_code == 200


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("POST", {"Sec-Fetch-Site": "cross-site"}, 403),
        ("DELETE", {"Sec-Fetch-Site": "same-site"}, 403),
        ("DELETE", {"Sec-Fetch-Site": "same-origin"}, 404),
        ("GET", {"Sec-Fetch-Site": "cross-site"}, 404),  # a link to the page; the answer cannot be read
        ("GET", {"Host": "evil.example:8000"}, 403),
        ("GET", {"Host": "["}, 403),
        ("GET", {"Host": "localhost:8000"}, 404),
        ("GET", {"Host": "[::1]:8000"}, 404),
    ],
)
def test_pages_of_other_sites_use_no_browser_to_call_the_service(
    shared: ApiService, method: str, headers: dict[str, str], status: int
) -> None:
    path = "/v1/videos" if method == "POST" else "/v1/videos/video_0"
    answer = shared.client.request(method, path, headers=headers)
    assert answer.status_code == status
    ErrorBody.model_validate_json(answer.content)
