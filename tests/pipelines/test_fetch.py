"""Videos from a disk and from a web server that behaves badly."""

import hashlib
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from pipelines.fetch import Fetched, Fetcher, FetchPolicy
from pipelines.rejection import RejectedError

BODY = bytes(range(256)) * 4000
POLICY = FetchPolicy(backoff_s=0.01, timeout_s=5, allow_private=True)


def fetch(places: list[str], into: Path, policy: FetchPolicy) -> Fetched:
    with Fetcher(policy) as fetcher:
        return fetcher.submit(places, into).result()


class Moody(BaseHTTPRequestHandler):
    """Answers by the path: /ok, /flaky (fails twice), /status/N, /short (breaks off), /empty."""

    asked: ClassVar[Counter[str]] = Counter()

    def do_GET(self) -> None:
        self.asked[self.path] += 1
        status = int(self.path.split("/")[2]) if self.path.startswith("/status/") else 200
        if self.path.startswith("/flaky") and self.asked[self.path] <= 2:
            status = 503
        body = b"" if self.path == "/empty" else BODY
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:1000] if self.path == "/short" else body)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    Moody.asked.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Moody) as served:
        threading.Thread(target=served.serve_forever, daemon=True).start()
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("NO_PROXY", "127.0.0.1")
            yield f"http://127.0.0.1:{served.server_port}"
        served.shutdown()


def test_a_local_file_stays_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "v.mp4").write_bytes(BODY)
    fetched = fetch([str(tmp_path / "no.mp4"), str(tmp_path / "v.mp4")], tmp_path / "into", POLICY)
    assert fetched.path == tmp_path / "v.mp4"
    assert (fetched.sha256, fetched.size) == (hashlib.sha256(BODY).hexdigest(), len(BODY))


@pytest.mark.parametrize("path", ["/ok", "/flaky"])
def test_a_download_is_whole_even_if_it_takes_several_attempts(
    server: str, tmp_path: Path, path: str
) -> None:
    fetched = fetch([str(tmp_path / "no.mp4"), server + path], tmp_path / "into", POLICY)
    assert fetched.path.read_bytes() == BODY
    assert fetched.sha256 == hashlib.sha256(BODY).hexdigest()


@pytest.mark.parametrize(
    ("path", "reason", "attempts"),
    [
        ("/status/404", "missing_file", 1),
        ("/status/403", "fetch_refused", 1),
        ("/status/500", "fetch_failed", 3),
        ("/short", "fetch_failed", 3),
        ("/empty", "empty_file", 1),
    ],
)
def test_failures_are_told_apart_and_only_passing_ones_tried_again(
    server: str, tmp_path: Path, path: str, reason: str, attempts: int
) -> None:
    with pytest.raises(RejectedError) as caught:
        fetch([server + path], tmp_path / "into", POLICY)
    assert caught.value.reason == reason
    assert Moody.asked[path] == attempts


def test_size_is_capped_near_and_far(server: str, tmp_path: Path) -> None:
    (tmp_path / "v.mp4").write_bytes(BODY)
    for place in (str(tmp_path / "v.mp4"), server + "/ok"):
        with pytest.raises(RejectedError, match="too_large"):
            fetch([place], tmp_path / "into", POLICY.model_copy(update={"max_bytes": 1000}))


def test_places_that_are_no_files_are_missing(tmp_path: Path) -> None:
    for places in ([], [str(tmp_path)], ["/dev/zero"]):
        with pytest.raises(RejectedError, match="missing_file"):
            fetch(places, tmp_path / "into", POLICY)
    with pytest.raises(RejectedError, match="unknown_protocol"):
        fetch(["rtsp://camera/1"], tmp_path / "into", POLICY)
