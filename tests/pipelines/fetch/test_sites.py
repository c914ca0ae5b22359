"""Videos on pages, fetched by yt-dlp: its generic extractor with pages of a server of this machine."""

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from core.errors import RejectedError
from pipelines.fetch import Fetched, Fetcher, FetchPolicy, is_page_of_site
from pipelines.fetch.sites import site_reader
from pipelines.fetch.sites.site_reader import missing_reader
from pipelines.ingest.needs import needs_of

pytestmark = pytest.mark.skipif(missing_reader() is not None, reason="yt-dlp is not installed")

VIDEO = b"\0\0\0\x18ftypmp42" + bytes(range(256)) * 400
BASE: dict[str, object] = {
    "sites": "yt-dlp",
    "attempts": 2,
    "backoff_s": 0.01,
    "timeout_s": 60,
    "allow_private": True,
}


class Pages(BaseHTTPRequestHandler):
    """/page/NAME has a video at /video/NAME, which answers by name: ok, gone, busy, hang."""

    asked: ClassVar[list[tuple[str, dict[str, str]]]] = []

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.asked.append((self.path, dict(self.headers.items())))
        kind, _, name = self.path.strip("/").partition("/")
        if name == "hang" and kind == "video":
            time.sleep(20)
        if kind == "page":
            host = self.headers["Host"]
            video = f'<video><source src="http://{host}/video/{name}" type="video/mp4"></video>'
            body = "<p>nothing" if name == "none" else video
            return self._send(200, "text/html", f"<html><title>t</title>{body}</html>".encode())
        status = {"gone": 404, "busy": 503}.get(name, 200)
        return self._send(status, "video/mp4", VIDEO if status == 200 else b"")

    def _send(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("NO_PROXY", "*")
    Pages.asked.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Pages) as served:
        served.daemon_threads = True
        served.block_on_close = False
        threading.Thread(target=served.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{served.server_port}"
        served.shutdown()


def fetch(url: str, into: Path, **settings: object) -> Fetched:
    with Fetcher(FetchPolicy.model_validate({**BASE, **settings})) as fetcher:
        return fetcher.submit([url], into / "into").result()


def rejection(url: str, into: Path, **settings: object) -> str:
    with pytest.raises(RejectedError) as caught:
        fetch(url, into, **settings)
    assert [path.name for path in into.iterdir() if path.name != "into"] == []
    return str(caught.value)


@pytest.mark.slow
def test_the_video_of_a_page_is_fetched_with_cookies_and_harmless_headers(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", "s3cr3t")
    cookies = tmp_path / "cookies.txt"
    cookies.write_text(f"# Netscape HTTP Cookie File\n127.0.0.1\tFALSE\t/\tFALSE\t{2**31}\tsession\tabc\n")
    (tmp_path / "new").mkdir()
    settings = {
        "cookies": str(cookies),
        "user_agent": "Films 2.0",
        "headers": {"Referer": "https://films.example/", "X-Api-Key": "env:TOKEN"},
    }
    fetched = fetch(f"{server}/page/ok", tmp_path / "new", **settings)
    assert fetched.path.read_bytes() == VIDEO
    assert fetched.size == len(VIDEO)
    path, headers = Pages.asked[-1]
    assert path == "/video/ok"
    assert "session=abc" in headers["Cookie"]
    assert headers["User-Agent"] == "Films 2.0"
    assert headers.get("X-Api-Key") is None
    assert list((tmp_path / "new").iterdir()) == [fetched.path]


def test_a_file_that_is_no_page_is_fetched_without_yt_dlp(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site_reader.SiteReader, "read", None)
    assert fetch(f"{server}/video/ok", tmp_path).size == len(VIDEO)
    assert fetch(f"{server}/page/ok", tmp_path, sites=None).path.read_bytes().startswith(b"<html>")


@pytest.mark.slow
def test_failures_have_the_reasons_of_other_downloads(server: str, tmp_path: Path) -> None:
    assert rejection(f"{server}/page/gone", tmp_path) == "missing_file"
    assert rejection(f"{server}/page/none", tmp_path).startswith("fetch_refused: ")
    Pages.asked.clear()
    assert rejection(f"{server}/page/busy", tmp_path).endswith(", 2 attempts")
    assert sum(path == "/page/busy" for path, _ in Pages.asked) >= 2


@pytest.mark.slow
def test_sizes_and_time_are_limited(server: str, tmp_path: Path) -> None:
    assert rejection(f"{server}/page/ok", tmp_path, max_bytes=1000).startswith(("too_large", "fetch_refused"))
    begun = time.monotonic()
    assert rejection(f"{server}/page/hang", tmp_path, timeout_s=3, attempts=1).startswith("fetch_timeout")
    assert time.monotonic() - begun < 15


@pytest.mark.slow
def test_a_page_cannot_lead_into_this_network(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page itself is read by yt-dlp alone, which must not connect either."""
    monkeypatch.setattr("pipelines.fetch.fetcher.is_page_of_site", lambda url: True)
    monkeypatch.setattr("pipelines.fetch.fetcher.check_web_address", lambda url, allow_private: None)
    asked = len(Pages.asked)
    refused = rejection(f"{server}/page/ok", tmp_path, allow_private=False)
    assert refused == "fetch_refused: the address is not public"
    assert len(Pages.asked) == asked


def test_well_known_sites_are_recognised_by_their_hosts() -> None:
    for url in ("https://www.youtube.com/watch?v=x", "https://youtu.be/x", "https://m.vimeo.com/1"):
        assert is_page_of_site(url)
    for url in ("https://notyoutube.com/x", "https://a.example/youtube.com/v.mp4", "https://netflix.com/x"):
        assert not is_page_of_site(url)


def test_a_missing_package_is_named_before_the_work_and_rejects_rows_with_the_fix(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert needs_of((), FetchPolicy(sites="yt-dlp")) == []
    monkeypatch.setattr(site_reader.importlib.util, "find_spec", lambda name: None)
    assert needs_of((), FetchPolicy()) == []
    (line,) = needs_of((), FetchPolicy(sites="yt-dlp"))
    assert line.endswith("pip install 'animatic[sites]'")
    assert rejection(f"{server}/page/ok", tmp_path).endswith("pip install 'animatic[sites]'")
