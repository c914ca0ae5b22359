"""Server-sent events of videos, and the requests that wait for the end of one, over a real server."""

import json
import threading
from collections.abc import Iterator

import httpx2 as httpx
import pytest

from orchestration.serving.counters import REQUESTS
from tests.support.serving_api import MP4, ApiService, picture, served
from tests.support.waiting import wait_until


@pytest.fixture
def url(service: ApiService) -> Iterator[str]:
    with served(service) as url:
        yield url


def events(lines: Iterator[str]) -> Iterator[dict[str, str]]:
    """The events of a stream: their fields by name."""
    event: dict[str, str] = {}
    for line in lines:
        if line:
            name, _, value = line.partition(": ")
            event[name] = value
        elif event:
            yield event
            event = {}


def statuses(found: list[dict[str, str]]) -> list[str]:
    return [json.loads(event["data"])["status"] for event in found]


def test_a_stream_has_every_state_and_ends_with_the_video(service: ApiService, url: str) -> None:
    video = service.submit()
    seen: list[dict[str, str]] = []
    with httpx.stream("GET", f"{url}/v1/videos/{video}/events", timeout=10) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        found = events(stream.iter_lines())
        seen.append(next(found))
        job = service.claim()
        seen.append(next(found))
        service.store.progress([job], 3, 20, 1.0)
        seen.append(next(found))
        service.complete(job)
        seen += found
    assert statuses(seen) == ["queued", "in_progress", "in_progress", "completed"]
    assert {event["event"] for event in seen} == {"video"}
    assert len({event["id"] for event in seen}) == 4
    assert json.loads(seen[2]["data"])["step"] == 3


def test_a_client_that_connects_again_gets_no_event_twice(service: ApiService, url: str) -> None:
    video = service.submit()
    stream_url = f"{url}/v1/videos/{video}/events"
    with httpx.stream("GET", stream_url, timeout=10) as stream:
        first = next(events(stream.iter_lines()))
    with httpx.stream("GET", stream_url, headers={"Last-Event-ID": first["id"]}, timeout=10) as stream:
        service.complete(service.claim())
        rest = list(events(stream.iter_lines()))
    assert statuses(rest) in (["completed"], ["in_progress", "completed"])
    done = httpx.get(stream_url, headers={"Last-Event-ID": rest[-1]["id"]}, timeout=10)
    assert (done.status_code, done.content) == (204, b"")


def test_comments_keep_a_stream_open(service: ApiService, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastapi.routing._PING_INTERVAL", 0.01)
    video = service.submit()
    with httpx.stream("GET", f"{url}/v1/videos/{video}/events", timeout=10) as stream:
        assert any(line == ": ping" for line in stream.iter_lines())


def test_the_stream_of_a_removed_video_ends(service: ApiService, url: str) -> None:
    video = service.submit()
    with httpx.stream("GET", f"{url}/v1/videos/{video}/events", timeout=10) as stream:
        found = events(stream.iter_lines())
        next(found)
        service.store.request_cancel(video)
        service.store.delete(video)
        assert statuses(list(found)) in ([], ["cancelled"])


def post_sync(url: str, **headers: str) -> httpx.Response:
    files = {"input_reference": ("a.png", picture(), "image/png")}
    return httpx.post(f"{url}/v1/videos/sync", files=files, data={"seed": "9"}, headers=headers, timeout=10)


def test_a_synchronous_request_is_answered_with_the_clip(service: ApiService, url: str) -> None:
    answers: list[httpx.Response] = []
    waiting = threading.Thread(target=lambda: answers.append(post_sync(url)))
    waiting.start()
    job = service.next_job()
    service.complete(job)
    waiting.join()
    (answer,) = answers
    assert (answer.status_code, answer.content) == (200, MP4)
    assert (answer.headers["x-video-id"], answer.headers["x-video-seed"]) == (job.id, "9")


def test_a_synchronous_request_whose_video_fails_names_the_reason(service: ApiService, url: str) -> None:
    answers: list[httpx.Response] = []
    waiting = threading.Thread(target=lambda: answers.append(post_sync(url)))
    waiting.start()
    job = service.next_job()
    service.store.fail(job, "not_finite", "lower the guidance")
    waiting.join()
    error = answers[0].json()["error"]
    assert (answers[0].status_code, error["code"], error["video"]) == (500, "video_failed", job.id)
    assert error["message"] == "not_finite: lower the guidance"


@pytest.mark.parametrize(("key", "cancelled"), [({}, True), ({"Idempotency-Key": "a"}, False)])
def test_a_client_that_goes_away_cancels_its_video_unless_it_can_ask_again(
    service: ApiService, url: str, key: dict[str, str], cancelled: bool
) -> None:
    files = {"input_reference": ("a.png", picture(), "image/png")}
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{url}/v1/videos/sync", files=files, headers=key, timeout=httpx.Timeout(5, read=0.3))
    (unanswered,) = REQUESTS.add("/v1/videos/sync", "POST", "499")

    def noticed() -> bool:
        service.recorder.flush()
        return unanswered in service.store.counters()

    wait_until(noticed)
    (job,) = service.store.listed(None, limit=10)
    assert job.state == ("cancelled" if cancelled else "queued")


def test_a_running_video_is_cancelled_when_its_device_is_free(service: ApiService, url: str) -> None:
    video = service.submit()
    job = service.claim()
    answers: list[httpx.Response] = []
    waiting = threading.Thread(
        target=lambda: answers.append(httpx.delete(f"{url}/v1/videos/{video}", timeout=10))
    )
    waiting.start()
    wait_until(lambda: service.store.progress([job], 1, 20, None) == {video})
    assert answers == []
    service.store.cancelled(job)
    waiting.join()
    assert answers[0].json()["status"] == "cancelled"


def test_followers_leave_requests_for_others(service: ApiService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestration.serving.api.clips._MOST_WATCHES", 0)
    video = service.submit()
    answers = [
        service.client.get(f"/v1/videos/{video}/events"),
        service.post("/v1/videos/sync"),
    ]
    assert [answer.status_code for answer in answers] == [503, 503]
    assert answers[0].json()["error"]["code"] == "unavailable" and "Retry-After" in answers[0].headers
    assert len(service.store.listed(None, limit=10)) == 1
