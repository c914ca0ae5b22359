"""Health, figures for Prometheus, models, and what administrators do."""

from datetime import timedelta

import pytest
from prometheus_client.parser import text_string_to_metric_families

from orchestration.serving.api import NAMES
from orchestration.serving.counters import STEP, SWAPS
from orchestration.serving.jobs import ModelStatus
from tests.support.serving_api import BUNDLE, FORMER, MANIFEST, ApiService, api_service, version

ADMIN = {"X-API-Key": "admin-anna"}


def figures(service: ApiService) -> dict[tuple[str, ...], float]:
    """The value of every sample, by its name and the values of its labels, sorted by their names."""
    service.recorder.flush()
    families = text_string_to_metric_families(service.client.get("/metrics").text)
    return {
        (sample.name, *(sample.labels[name] for name in sorted(sample.labels))): sample.value
        for family in families
        for sample in family.samples
    }


def test_a_service_is_ready_once_a_live_replica_serves_the_required_model(tmp_path) -> None:
    with api_service(tmp_path) as service:
        assert service.client.get("/livez").status_code == 200
        assert service.client.head("/livez").status_code == 200
        empty = service.client.get("/readyz")
        assert (empty.status_code, empty.json()["ready"]) == (503, False)
        assert empty.json()["missing"] == ["no replica reports: it is starting, or has ended"]

        loading = ModelStatus(name="champion", state="smoke", last_error="weight w has NaN", desired=MANIFEST)
        service.report(loading)
        assert service.client.get("/readyz").json()["missing"] == [
            "champion: replica r1 is at smoke: weight w has NaN"
        ]
        other = ModelStatus(name="challenger", state="serving", serving=version(name="challenger"))
        service.report(loading, other)
        assert service.client.get("/readyz").status_code == 503

        service.report()
        ready = service.client.get("/readyz")
        assert (ready.status_code, ready.json()["models"], ready.json()["replicas"]) == (200, ["champion"], 1)

        service.clock.ahead = timedelta(minutes=1)
        assert service.client.get("/readyz").status_code == 503


def test_models_have_limits_and_the_default_one_first(service: ApiService) -> None:
    challenger = version(name="challenger", bundle_id="12" * 32, modes=("animate",), stage=2)
    service.report(
        ModelStatus(name="challenger", state="serving", serving=challenger),
        ModelStatus(name="champion", state="serving", serving=version()),
    )
    body = service.client.get("/v1/models").json()
    assert [model["id"] for model in body["data"]] == ["champion", "challenger"]
    champion = body["data"][0]
    assert champion["bundle"]["id"] == BUNDLE
    assert champion["limits"]["sizes"] == ["64x48"]
    assert (champion["defaults"]["num_inference_steps"], champion["defaults"]["guidance_scale"]) == (20, 5.0)
    assert body["data"][1]["limits"]["modes"] == ["animate"]
    assert body["limits"]["body_bytes"] == 20 * 2**20
    for name in ("champion", BUNDLE, BUNDLE[:8]):
        assert service.client.get(f"/v1/models/{name}").json() == champion
    missing = service.client.get("/v1/models/sora-2")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "model_not_found")


def test_figures_count_requests_videos_and_models(service: ApiService) -> None:
    video = service.submit()
    service.submit()
    service.client.get("/v1/videos/video_0")
    service.post(num_frames=1000)
    service.complete(service.claim())
    service.store.count(STEP.observe(0.3, "champion") | SWAPS.add("champion", "swapped"))
    found = figures(service)
    assert found["animatic_serving_videos", "completed"] == 1
    assert found["animatic_serving_videos", "queued"] == 1
    assert found["animatic_serving_videos_accepted_total", "champion"] == 2
    assert found["animatic_serving_rejects_total", "not_found"] == 1
    assert found["animatic_serving_rejects_total", "invalid_request"] == 1
    assert found["animatic_serving_http_requests_total", "POST", "/v1/videos", "202"] == 2
    assert found["animatic_serving_http_requests_total", "GET", "/v1/videos/{video_id}", "404"] == 1
    assert found["animatic_serving_http_request_seconds_count", "/v1/videos"] == 3
    assert found["animatic_serving_step_seconds_bucket", "0.25", "champion"] == 0
    assert found["animatic_serving_step_seconds_bucket", "0.5", "champion"] == 1
    assert found["animatic_serving_swaps_total", "champion", "swapped"] == 1
    assert found["animatic_serving_model_info", BUNDLE, MANIFEST, "champion", "tiny", "3"] == 1
    assert (found["animatic_serving_ready",], found["animatic_serving_replicas", "live"]) == (1, 1)
    assert found["animatic_serving_device_memory_bytes", "cpu", "r1"] == 1000
    assert found["animatic_serving_stored_bytes",] > 0
    assert video not in service.client.get("/metrics").text  # no label without end
    assert {name for name, *_ in found} <= NAMES


def test_counters_survive_an_outage_of_the_database(
    service: ApiService, monkeypatch: pytest.MonkeyPatch
) -> None:
    from orchestration.serving.jobs import JobStoreError

    def fails(increments: object) -> None:
        raise JobStoreError("no answer")

    with monkeypatch.context() as outage:
        outage.setattr(service.store, "count", fails)
        service.client.get("/v1/videos/video_0")
        with pytest.raises(JobStoreError):
            service.recorder.flush()
    assert figures(service)["animatic_serving_rejects_total", "not_found"] == 1


def test_a_rollback_returns_to_the_former_version_until_it_is_lifted(service: ApiService) -> None:
    url = "/v1/admin/rollback"
    refused = service.client.post(url, json={"model": "champion"}, headers=ADMIN)
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "no_former_version")
    exchanged = ModelStatus(
        name="champion", state="serving", serving=version(), desired=MANIFEST, former=FORMER
    )
    older = ModelStatus(
        name="champion", state="loading", serving=version(manifest=FORMER), desired=MANIFEST, former="00" * 32
    )
    service.report(older, replica="r0")
    service.report(exchanged, replica="r1")
    for _ in range(2):  # to repeat it changes nothing
        assert service.client.post(url, json={"model": "champion"}, headers=ADMIN).status_code == 200
    (hold,) = service.store.holds()
    assert (hold.model, hold.manifest, hold.serve, hold.actor) == ("champion", MANIFEST, FORMER, "anna")
    assert figures(service)["animatic_serving_model_held", "champion"] == 1
    status = service.client.get("/v1/admin/status", headers=ADMIN).json()
    assert status["holds"][0]["serve"] == FORMER
    assert status["replicas"][1]["models"][0]["former"] == FORMER
    assert service.client.delete(url, headers=ADMIN).json()["holds"] == []
    assert service.client.delete(url, headers=ADMIN).status_code == 404


def test_only_administrators_roll_back_and_see_other_keys(service: ApiService) -> None:
    bob = {"X-API-Key": "bob"}
    assert service.client.post("/v1/admin/rollback", json={}, headers=bob).status_code == 403
    video = service.post(headers=bob).json()["id"]
    url = f"/v1/videos/{video}"
    for path in (url, f"{url}/content", f"{url}/events"):
        assert service.client.get(path, headers={"X-API-Key": "carol"}).status_code == 404
    assert service.client.delete(url, headers={"X-API-Key": "carol"}).status_code == 404
    assert service.client.get("/v1/videos", headers={"X-API-Key": "carol"}).json()["data"] == []
    assert service.client.get(url, headers=ADMIN).status_code == 200
    assert len(service.client.get("/v1/videos", headers=ADMIN).json()["data"]) == 1


def test_videos_that_no_replica_ends_are_counted_by_the_api(service: ApiService) -> None:
    service.client.delete(f"/v1/videos/{service.submit()}")
    assert figures(service)["animatic_serving_videos_ended_total", "", "champion", "cancelled"] == 1
