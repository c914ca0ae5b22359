"""The content of a video: ranges, conditions, formats; and what is answered where there is none."""

from datetime import timedelta
from hashlib import sha256

import pytest

from tests.support.serving_api import BUNDLE, GIF, MANIFEST, MP4, ApiService

ETAG = f'"{sha256(MP4).hexdigest()}"'


def completed(service: ApiService) -> str:
    """The URL of a clip."""
    service.submit(seed=5)
    job = service.claim()
    service.complete(job)
    return f"/v1/videos/{job.id}/content"


@pytest.fixture(scope="module")
def url(shared: ApiService) -> str:
    return completed(shared)


def test_the_content_names_what_made_it(shared: ApiService, url: str) -> None:
    answer = shared.client.get(url)
    assert (answer.status_code, answer.content) == (200, MP4)
    names = ("etag", "content-type", "x-video-seed", "x-bundle-id", "x-bundle-manifest", "accept-ranges")
    expected = [ETAG, "video/mp4", "5", BUNDLE, MANIFEST, "bytes"]
    assert [answer.headers[name] for name in names] == expected
    video = url.split("/")[3]
    assert answer.headers["content-disposition"] == f'inline; filename="{video}.mp4"'
    assert answer.headers["cache-control"].startswith("private")


@pytest.mark.parametrize(
    ("headers", "status", "content"),
    [
        ({"Range": "bytes=10-19"}, 206, MP4[10:20]),
        ({"Range": "bytes=1000-"}, 206, MP4[1000:]),
        ({"Range": "bytes=-3"}, 206, MP4[-3:]),
        ({"Range": "bytes=0-1", "If-Range": ETAG}, 206, MP4[:2]),
        ({"Range": "bytes=0-1", "If-Range": '"of-another-clip"'}, 200, MP4),
        ({"Range": "lines=1-2"}, 200, MP4),
        ({"Range": "bytes=x"}, 200, MP4),
        ({"If-None-Match": ETAG}, 304, b""),
        ({"If-None-Match": f'"a", W/{ETAG}'}, 304, b""),
        ({"If-None-Match": "*"}, 304, b""),
        ({"If-None-Match": '"a"'}, 200, MP4),
        ({"If-None-Match": ETAG, "Range": "bytes=0-1"}, 304, b""),
    ],
)
def test_ranges_and_conditions(
    shared: ApiService, url: str, headers: dict[str, str], status: int, content: bytes
) -> None:
    answer = shared.client.get(url, headers=headers)
    assert (answer.status_code, answer.content) == (status, content)
    assert answer.headers["etag"] == ETAG


def test_several_ranges_are_one_multipart_answer(shared: ApiService, url: str) -> None:
    answer = shared.client.get(url, headers={"Range": "bytes=0-1,8-9"})
    assert answer.status_code == 206
    assert answer.headers["content-type"].startswith("multipart/byteranges")
    assert b"bytes 8-9/1024" in answer.content


def test_a_range_outside_of_the_content_is_416_with_its_size(shared: ApiService, url: str) -> None:
    answer = shared.client.get(url, headers={"Range": "bytes=1024-"})
    assert (answer.status_code, answer.headers["content-range"]) == (416, "bytes */1024")
    assert answer.json()["error"]["code"] == "range_not_satisfiable"


def test_head_has_the_headers_of_get(shared: ApiService, url: str) -> None:
    get, head = shared.client.get(url), shared.client.head(url)
    assert (head.status_code, head.content) == (200, b"")
    kept = ("content-length", "etag", "content-type")
    assert [head.headers[name] for name in kept] == [get.headers[name] for name in kept]


@pytest.mark.parametrize(
    ("query", "accept", "content"),
    [
        ({}, None, MP4),
        ({}, "*/*", MP4),
        ({}, "image/gif", GIF),
        ({}, "image/avif,image/*,*/*;q=0.8", GIF),
        ({}, "video/mp4, image/gif;q=0.5", MP4),
        ({"format": "gif"}, "video/mp4", GIF),
        ({"format": "mp4"}, "image/gif", MP4),
    ],
)
def test_the_format_is_that_of_the_query_or_else_the_preferred_one(
    shared: ApiService, url: str, query: dict[str, str], accept: str | None, content: bytes
) -> None:
    headers = {} if accept is None else {"Accept": accept}
    assert shared.client.get(url, params=query, headers=headers).content == content


def test_there_is_no_content_before_the_end_nor_after_a_failure(service: ApiService) -> None:
    video = service.submit()
    queued = service.client.get(f"/v1/videos/{video}/content")
    assert (queued.status_code, queued.json()["error"]["code"]) == (409, "not_ready")
    service.store.fail(service.claim(), "out_of_memory", "too large")
    assert service.video(video).error.code == "out_of_memory"
    assert service.client.get(f"/v1/videos/{video}/content").status_code == 409


def test_expired_content_is_gone(service: ApiService) -> None:
    url = completed(service)
    service.clock.ahead = timedelta(hours=25)
    for _ in range(2):  # its picture first
        service.results.remove_spent(service.store)
    answer = service.client.get(url)
    assert (answer.status_code, answer.json()["error"]["code"]) == (410, "expired")
    assert service.client.get(url.removesuffix("/content")).json()["status"] == "expired"
