"""Videos over HTTP: accepted, followed, listed, cancelled and removed."""

import base64

import pytest

from orchestration.serving.jobs import ModelStatus
from orchestration.serving.schema import Video
from tests.support.serving_api import BUNDLE, MANIFEST, MP4, ApiService, api_service, picture, version


def data_url(content: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(content).decode()


def test_a_video_goes_from_the_queue_to_its_content(service: ApiService) -> None:
    accepted = service.post(prompt="a boat", seed=7, eta=0.5)
    assert accepted.status_code == 202
    video = Video.model_validate_json(accepted.content)
    assert accepted.headers["location"] == f"/v1/videos/{video.id}"
    assert (video.status, video.queue_position, video.seed, video.prompt) == ("queued", 1, 7, "a boat")
    assert (video.model, video.mode, video.progress) == ("champion", "animate", 0)
    assert (video.eta, video.num_inference_steps) == (0.5, None)  # the model has not decided yet

    job = service.claim()
    service.store.progress([job], 5, 20, 3.0)
    video = service.video(job.id)
    assert (video.status, video.step, video.steps, video.progress) == ("in_progress", 5, 20, 25)
    assert (video.remaining_seconds, video.queue_position) == (3.0, None)

    service.complete(job)
    video = service.video(job.id)
    assert (video.status, video.progress, video.size, video.num_frames) == ("completed", 100, "64x48", 8)
    assert (video.eta, video.num_inference_steps, video.guidance_scale) == (0.5, 20, 5.0)
    assert video.bundle is not None
    assert (video.bundle.id, video.bundle.manifest) == (BUNDLE, MANIFEST)
    assert video.content is not None
    assert service.client.get(video.content.url).content == MP4
    assert video.expires_at is not None


def test_json_and_multipart_make_the_same_job(service: ApiService) -> None:
    form = service.post(prompt="a", seed=3, loop="true", num_frames=4).json()
    body = {"input_reference": data_url(picture()), "prompt": "a", "seed": 3, "loop": True, "num_frames": 4}
    jobs = [form["id"], service.client.post("/v1/videos", json=body).json()["id"]]
    body["input_reference"] = {"image_url": body["input_reference"]}
    jobs.append(service.client.post("/v1/videos", json=body).json()["id"])
    specs = [service.job(job).spec.model_dump(exclude={"first": {"name"}}) for job in jobs]
    assert specs[0] == specs[1] == specs[2]
    assert specs[0]["mode"] == "loop"


def test_a_last_picture_interpolates(service: ApiService) -> None:
    files = {
        "input_reference": ("a.png", picture(), "image/png"),
        "last_reference": ("b.png", picture(9, 9), "image/png"),
    }
    job = service.job(service.client.post("/v1/videos", files=files).json()["id"])
    assert job.spec.mode == "interpolate"
    assert job.spec.last is not None
    assert job.spec.last.width == 9
    both = service.client.post("/v1/videos", files=files, data={"loop": "true"})
    assert both.json()["error"]["param"] == "last_reference"


def test_a_seed_is_drawn_and_answered_where_none_is_given(service: ApiService) -> None:
    seeds = {service.post().json()["seed"] for _ in range(3)}
    assert len(seeds) == 3


def test_an_idempotency_key_makes_one_video(service: ApiService) -> None:
    key = {"Idempotency-Key": "order-1"}
    first, again = (service.post(headers=key, prompt="a") for _ in range(2))
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.json()["id"] == again.json()["id"]
    assert again.headers["idempotent-replayed"] == "true"
    other = service.post(headers=key, prompt="b")
    assert (other.status_code, other.json()["error"]["code"]) == (422, "idempotency_key_reused")


def test_an_idempotency_key_gives_its_video_although_the_model_was_exchanged(service: ApiService) -> None:
    key = {"Idempotency-Key": "order-1"}
    first = service.post(headers=key, size="64x48")
    later = ModelStatus(name="champion", state="serving", serving=version(width=96, height=96))
    service.report(later)
    assert service.post(size="64x48").status_code == 400
    again = service.post(headers=key, size="64x48")
    assert (again.status_code, again.json()["id"]) == (202, first.json()["id"])


def test_a_key_with_its_own_rate_is_answered_with_the_time_to_retry(service: ApiService) -> None:
    slow = {"X-API-Key": "slow"}
    assert service.post(headers=slow).status_code == 202
    refused = service.post(headers=slow)
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "rate_limited")
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert service.post().status_code == 202


def test_a_full_queue_is_answered_with_the_time_to_retry(tmp_path) -> None:
    from orchestration.serving.settings import LimitSettings, ServingSettings

    with api_service(tmp_path, ServingSettings(limits=LimitSettings(queue=2))) as service:
        service.report()
        assert [service.post().status_code for _ in range(3)] == [202, 202, 429]
        refused = service.post()
        assert refused.json()["error"]["code"] == "queue_full"
        assert int(refused.headers["retry-after"]) >= 1
        assert len(service.stored()) == 2  # pictures of refused requests are removed


@pytest.mark.parametrize(
    ("fields", "param", "message"),
    [
        ({"size": "65x48"}, "size", "size is 65x48: champion makes 64x48"),
        ({"num_frames": 65}, "num_frames", "num_frames is 65: champion makes 1 to 64"),
        ({"num_frames": 2, "loop": "true"}, "num_frames", "num_frames is 2: champion makes 3 to 64"),
        ({"num_inference_steps": 101}, "num_inference_steps", "num_inference_steps is 101: at most 100"),
        ({"prompt": "a" * 2001}, "prompt", "prompt has 2001 characters: at most 2000"),
        ({"num_frame": 2}, "num_frame", "unknown field 'num_frame': did you mean 'num_frames'?"),
    ],
)
def test_what_model_and_operator_do_not_allow_is_refused(
    shared: ApiService, fields: dict[str, object], param: str, message: str
) -> None:
    answer = shared.post(**fields)
    error = answer.json()["error"]
    assert (answer.status_code, error["param"]) == (400, param)
    assert error["message"].startswith(message)


def test_a_model_is_asked_for_by_name_or_by_the_beginning_of_its_id(service: ApiService) -> None:
    assert service.job(service.submit(model=BUNDLE[:8])).spec.model == BUNDLE
    assert service.job(service.submit(model="champion")).spec.model == "champion"
    for unknown in ("challenger", BUNDLE[:7], "12345678"):
        refused = service.post(model=unknown)
        assert (refused.status_code, refused.json()["error"]["code"]) == (404, "model_not_found")


def test_nothing_is_accepted_before_a_replica_has_a_model(tmp_path) -> None:
    with api_service(tmp_path) as service:
        refused = service.post()
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "unavailable")
        assert "retry-after" in refused.headers


def test_a_queued_video_is_cancelled_at_once_and_then_removed(service: ApiService) -> None:
    video = service.submit()
    assert service.client.delete(f"/v1/videos/{video}").json()["status"] == "cancelled"
    assert service.client.delete(f"/v1/videos/{video}").json() == {
        "id": video,
        "object": "video.deleted",
        "deleted": True,
    }
    assert service.client.get(f"/v1/videos/{video}").status_code == 404
    assert service.stored() == []


def test_the_list_is_read_in_parts(service: ApiService) -> None:
    ids = [service.submit() for _ in range(5)]
    service.client.delete(f"/v1/videos/{ids[1]}")
    first = service.client.get("/v1/videos", params={"limit": 3}).json()
    assert [video["id"] for video in first["data"]] == ids[:1:-1]
    assert (first["first_id"], first["last_id"], first["has_more"]) == (ids[4], ids[2], True)
    rest = service.client.get("/v1/videos", params={"limit": 3, "after": first["last_id"]}).json()
    assert [video["id"] for video in rest["data"]] == [ids[1], ids[0]]
    assert rest["has_more"] is False
    ascending = service.client.get("/v1/videos", params={"order": "asc", "status": "queued"}).json()
    assert [video["id"] for video in ascending["data"]] == [ids[0], *ids[2:]]


def test_a_model_without_a_mode_refuses_it(service: ApiService) -> None:
    from orchestration.serving.jobs import ModelStatus

    stage_2 = version(modes=("animate",), stage=2)
    service.report(ModelStatus(name="champion", state="serving", serving=stage_2))
    refused = service.post(loop="true")
    assert refused.json()["error"]["message"] == "loop cannot be used with champion, which makes: animate"
