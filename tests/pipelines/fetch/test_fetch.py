"""Videos from a disk and from an unreliable web server."""

import hashlib
import io
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import aiohttp
import fsspec
import pytest
from aiohttp.abc import ResolveResult
from fsspec import AbstractFileSystem

from core.errors import RejectedError
from pipelines.fetch import Fetched, Fetcher, FetchPolicy, fetched_ahead, web
from pipelines.fetch.web import is_public
from pipelines.sources import SourceRow

BODY = bytes(range(256)) * 4000
POLICY = FetchPolicy(backoff_s=0.01, timeout_s=5, allow_private=True)


def fetch(locations: list[str], into: Path, policy: FetchPolicy) -> Fetched:
    with Fetcher(policy) as fetcher:
        return fetcher.submit(locations, into).result()


class UnreliableServer(BaseHTTPRequestHandler):
    """Answers by the path: /ok, /flaky (fails twice), /broken (twice half of another body, then whole),
    /status/N, /short (ends early), /empty, /slow (when ``expected`` requests came at once), /hang, /endless,
    /wait (busy for a second), /to/URL (redirects), /loop."""

    asked: ClassVar[Counter[str]] = Counter()
    moments: ClassVar[dict[str, list[float]]] = {}
    busy: ClassVar[list[int]] = [0, 0]  # requests being answered, and the maximum so far
    expected: ClassVar[int] = 1
    changed: ClassVar[threading.Condition] = threading.Condition()
    hanging: ClassVar[threading.Event] = threading.Event()
    ended: ClassVar[threading.Event] = threading.Event()

    def do_GET(self) -> None:
        self.asked[self.path] += 1
        self.moments.setdefault(self.path, []).append(time.monotonic())
        if self.path == "/nowhere":
            return self._answer(302, b"")
        if self.path.startswith("/to/") or self.path == "/loop":
            return self._redirect(self.path.removeprefix("/to/"))
        if self.path == "/endless":
            return self._endless()
        if self.path == "/wait" and self.asked[self.path] == 1:
            return self._answer(503, b"", **{"Retry-After": "1"})
        if self.path == "/hang":
            self.hanging.set()
            self.ended.wait()
        if self.path.startswith("/slow"):
            self._slow()
        return self._plain()

    def _slow(self) -> None:
        with self.changed:
            self.busy[0] += 1
            self.busy[1] = max(self.busy)
            self.changed.notify_all()
            self.changed.wait_for(lambda: self.busy[1] >= self.expected, timeout=60)
        time.sleep(0.15)  # time for one too many to come
        with self.changed:
            self.busy[0] -= 1

    def _redirect(self, target: str) -> None:
        self._answer(302, b"", Location=target)

    def _endless(self) -> None:
        self.send_response(200)
        self.end_headers()
        try:
            while True:
                self.wfile.write(BODY)
        except OSError:
            pass

    def _answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _plain(self) -> None:
        status = int(self.path.split("/")[2]) if self.path.startswith("/status/") else 200
        if self.path.startswith("/flaky") and self.asked[self.path] <= 2:
            status = 503
        body = b"" if self.path in ("/empty", "/status/204") else BODY
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.path == "/broken" and self.asked[self.path] <= 2:
            body = body[::-1][: len(body) // 2]
        self.wfile.write(body[:1000] if self.path == "/short" else body)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    UnreliableServer.asked.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), UnreliableServer) as served:
        threading.Thread(target=served.serve_forever, daemon=True).start()
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("NO_PROXY", "127.0.0.1")
            yield f"http://127.0.0.1:{served.server_port}"
        UnreliableServer.ended.set()
        served.shutdown()


def test_a_local_file_stays_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "v.mp4").write_bytes(BODY)
    fetched = fetch([str(tmp_path / "no.mp4"), str(tmp_path / "v.mp4")], tmp_path / "into", POLICY)
    assert fetched.path == tmp_path / "v.mp4"
    assert (fetched.sha256, fetched.size) == (hashlib.sha256(BODY).hexdigest(), len(BODY))


@pytest.mark.parametrize("path", ["/ok", "/flaky", "/broken"])
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
def test_failures_have_reasons_and_only_temporary_ones_are_retried(
    server: str, tmp_path: Path, path: str, reason: str, attempts: int
) -> None:
    with pytest.raises(RejectedError) as caught:
        fetch([server + path], tmp_path / "into", POLICY)
    assert caught.value.reason == reason
    assert UnreliableServer.asked[path] == attempts


def test_local_and_remote_files_are_limited_in_size(server: str, tmp_path: Path) -> None:
    (tmp_path / "v.mp4").write_bytes(BODY)
    for location in (str(tmp_path / "v.mp4"), server + "/ok"):
        with pytest.raises(RejectedError, match="too_large"):
            fetch([location], tmp_path / "into", POLICY.model_copy(update={"max_bytes": 1000}))
    with pytest.raises(RejectedError, match="too_large"):
        fetch([server + "/endless"], tmp_path / "into", POLICY.model_copy(update={"max_bytes": 5_000_000}))


def test_a_file_of_exactly_the_largest_size_is_fetched(server: str, tmp_path: Path) -> None:
    (tmp_path / "v.mp4").write_bytes(BODY)
    for location in (str(tmp_path / "v.mp4"), server + "/ok"):
        limit = POLICY.model_copy(update={"max_bytes": len(BODY)})
        assert fetch([location], tmp_path / "into", limit).size == len(BODY)
        with pytest.raises(RejectedError, match="too_large"):
            fetch([location], tmp_path / "into", limit.model_copy(update={"max_bytes": len(BODY) - 1}))


class HesitantStore(AbstractFileSystem):
    """A store whose first reader stops in the middle until a second one is done, and then goes on."""

    protocol = "hesitant"
    cachable = False
    opened: ClassVar[int] = 0
    second_done: ClassVar[threading.Event] = threading.Event()
    first_done: ClassVar[threading.Event] = threading.Event()

    def _open(self, path: str, mode: str = "rb", **options: object) -> io.BytesIO:
        HesitantStore.opened += 1
        return _Hesitant() if HesitantStore.opened == 1 else io.BytesIO(BODY)


class _Hesitant(io.BytesIO):
    def __init__(self) -> None:
        super().__init__(bytes(2 * len(BODY)))

    def read(self, size: int | None = -1) -> bytes:
        if self.tell():
            HesitantStore.second_done.wait(60)
        return super().read(1000)

    def close(self) -> None:
        super().close()
        HesitantStore.first_done.set()


def test_an_attempt_that_was_given_up_writes_nothing_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsspec.register_implementation("hesitant", HesitantStore, clobber=True)
    finished = Fetched.__init__

    def report(self: Fetched, *values: Any) -> None:
        finished(self, *values)
        HesitantStore.second_done.set()
        # The first attempt goes on with the file still open, and has to be turned away.
        assert HesitantStore.first_done.wait(60)

    monkeypatch.setattr(Fetched, "__init__", report)
    policy = POLICY.model_copy(update={"timeout_s": 1, "attempts": 2})
    fetched = fetch(["hesitant://late.mp4"], tmp_path / "into", policy)
    assert HesitantStore.opened == 2
    assert fetched.sha256 == hashlib.sha256(BODY).hexdigest()
    assert fetched.path.read_bytes() == BODY


@pytest.mark.parametrize("host", ["", "localhost", "LOCALHOST"])
def test_a_file_url_names_a_local_file_by_escapes_too(tmp_path: Path, host: str) -> None:
    video = tmp_path / "a b é#1?.mp4"
    video.write_bytes(BODY)
    for name in ("a%20b%20%C3%A9%231%3F.mp4", video.name):
        fetched = fetch([f"file://{host}{tmp_path}/{name}"], tmp_path / "into", POLICY)
        assert fetched.path == video


def test_a_file_url_of_another_machine_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RejectedError, match="the host server: a local file is file:///PATH"):
        fetch(["file://server/share/a.mp4"], tmp_path / "into", POLICY)


def test_locations_that_are_not_files_are_missing(tmp_path: Path) -> None:
    for locations in ([], [str(tmp_path)], ["/dev/zero"]):
        with pytest.raises(RejectedError, match="missing_file"):
            fetch(locations, tmp_path / "into", POLICY)
    with pytest.raises(RejectedError, match="unknown_protocol"):
        fetch(["rtsp://camera/1"], tmp_path / "into", POLICY)


def test_a_server_that_hangs_is_a_timeout(server: str, tmp_path: Path) -> None:
    hasty = POLICY.model_copy(update={"timeout_s": 0.3, "attempts": 2})
    with pytest.raises(RejectedError, match="fetch_timeout"):
        fetch([server + "/hang"], tmp_path / "into", hasty)
    assert UnreliableServer.asked["/hang"] == 2


def test_a_retry_waits_as_long_as_the_server_asks(server: str, tmp_path: Path) -> None:
    assert fetch([server + "/wait"], tmp_path / "into", POLICY).size == len(BODY)
    first, second = UnreliableServer.moments["/wait"]
    assert second - first >= 1


def test_redirects_are_followed_up_to_a_limit(server: str, tmp_path: Path) -> None:
    fetched = fetch([f"{server}/to/{server}/ok"], tmp_path / "into", POLICY)
    assert fetched.path.read_bytes() == BODY
    for path in ("/loop", "/to/file:///etc/passwd", "/to/ftp://127.0.0.1/a"):
        with pytest.raises(RejectedError, match="fetch_refused"):
            fetch([server + path], tmp_path / "into", POLICY)


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("/nowhere", "fetch_refused: status 302, a redirect without a target"),
        ("/to/ftp://127.0.0.1/a", "fetch_refused: not an http address: ftp://127.0.0.1/a"),
        ("/status/204", "fetch_refused: status 204"),
        ("/status/202", "fetch_failed: status 202, 3 attempts"),
        ("/status/206", "fetch_refused: status 206"),
    ],
)
def test_an_answer_without_the_object_has_the_true_reason(
    server: str, tmp_path: Path, path: str, error: str
) -> None:
    with pytest.raises(RejectedError) as caught:
        fetch([server + path], tmp_path / "into", POLICY)
    assert str(caught.value) == error


def test_a_scheme_may_be_in_capitals(server: str, tmp_path: Path) -> None:
    assert fetch([server.replace("http", "HTTP") + "/ok"], tmp_path / "into", POLICY).size == len(BODY)
    (tmp_path / "v.mp4").write_bytes(BODY)
    assert fetch([f"FILE://{tmp_path}/v.mp4"], tmp_path / "into", POLICY).size == len(BODY)
    fsspec.filesystem("memory").pipe("/capitals.mp4", BODY)
    assert fetch(["MEMORY://capitals.mp4"], tmp_path / "into", POLICY).size == len(BODY)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "2130706433",
        "0x7f.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "10.0.0.1",
        "169.254.169.254",
    ],
)
def test_addresses_that_are_not_public_are_refused_unless_allowed(
    server: str, tmp_path: Path, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    port = server.rpartition(":")[2]
    asked = UnreliableServer.asked.total()
    with pytest.raises(RejectedError, match="fetch_refused"):
        fetch(
            [f"http://{host}:{port}/ok"],
            tmp_path / "into",
            POLICY.model_copy(update={"allow_private": False}),
        )
    assert UnreliableServer.asked.total() == asked


@pytest.mark.parametrize("target", ["169.254.169.254", "10.0.0.1", "internal.test", "localhost"])
def test_a_redirect_from_a_public_address_to_a_private_one_is_refused(
    server: str, tmp_path: Path, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test's own server counts as public; nothing else is faked but what names resolve to."""
    monkeypatch.setenv("NO_PROXY", "*")

    async def resolve(self: object, host: str, port: int = 0, family: int = 0) -> list[ResolveResult]:
        assert host == "internal.test", "numbers are not resolved by this"
        return [ResolveResult(hostname=host, host="10.1.2.3", port=port, family=2, proto=0, flags=0)]

    monkeypatch.setattr(aiohttp.ThreadedResolver, "resolve", resolve)
    monkeypatch.setattr(web, "is_public", lambda address: address == "127.0.0.1" or is_public(address))
    public = POLICY.model_copy(update={"allow_private": False})
    port = server.rpartition(":")[2]
    assert fetch([f"{server}/to/{server}/ok"], tmp_path / "into", public).size == len(BODY)
    asked = UnreliableServer.asked.total()
    with pytest.raises(RejectedError, match="fetch_refused: the address is not public"):
        fetch([f"{server}/to/http://{target}:{port}/ok"], tmp_path / "into", public)
    assert UnreliableServer.asked.total() == asked + 1  # the redirect itself


def test_localhost_is_refused_even_if_a_proxy_would_resolve_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    for host in ("localhost", "a.localhost"):
        with pytest.raises(RejectedError, match="fetch_refused: the address is not public"):
            fetch([f"http://{host}/x"], tmp_path / "into", POLICY.model_copy(update={"allow_private": False}))


@pytest.mark.parametrize(
    "location", ["http://", "http://[::1/x", "http:///x", "zip://a.mp4::http://127.0.0.1/x.zip"]
)
def test_an_invalid_address_is_refused(tmp_path: Path, location: str) -> None:
    with pytest.raises(RejectedError, match="fetch_refused"):
        fetch([location], tmp_path / "into", POLICY)


@pytest.mark.parametrize(("limit", "most"), [({"concurrency": 3}, 3), ({"per_host": 2}, 2)])
def test_no_more_downloads_run_at_once_than_allowed(
    server: str, tmp_path: Path, limit: dict[str, int], most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    UnreliableServer.busy[:] = [0, 0]
    monkeypatch.setattr(UnreliableServer, "expected", most)
    with Fetcher(POLICY.model_copy(update={"timeout_s": 60, **limit})) as fetcher:
        begun = [fetcher.submit([f"{server}/slow/{n}"], tmp_path / f"{n}") for n in range(9)]
        assert [future.result().size for future in begun] == [len(BODY)] * 9
    assert UnreliableServer.busy[1] == most


def test_leaving_cancels_downloads_that_are_not_done(server: str, tmp_path: Path) -> None:
    UnreliableServer.hanging.clear()
    with Fetcher(POLICY.model_copy(update={"timeout_s": 600})) as fetcher:
        waiting = fetcher.submit([f"{server}/hang"], tmp_path / "into")
        assert UnreliableServer.hanging.wait(60)
    assert waiting.cancelled()
    assert not UnreliableServer.ended.is_set()


def test_a_download_that_cannot_be_stored_is_not_a_rejection(server: str, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="cannot be stored"):
        fetch([f"{server}/ok"], tmp_path / "gone" / "into", POLICY)


def rows_of(server: str, count: int) -> list[SourceRow]:
    return [SourceRow(n, {"videoid": str(n), "contentUrl": f"{server}/ahead/{n}"}) for n in range(count)]


def test_files_come_in_the_order_of_their_rows_and_are_deleted(server: str, tmp_path: Path) -> None:
    rows = rows_of(server, 9)
    rows[4] = SourceRow(4, {"videoid": "4"}, "no_caption")
    rows[6] = SourceRow(6, {"videoid": "../6", "contentUrl": "x"})
    with fetched_ahead(rows, str(tmp_path), tmp_path, POLICY) as sources:
        for row, future in zip(rows, sources, strict=True):
            assert future.done()
            if row.row in (4, 6):
                assert isinstance(future.exception(), RejectedError)
            else:
                source = future.result()
                assert source.url.endswith(f"/ahead/{row.row}")
                assert source.path.read_bytes() == BODY
    assert not list(tmp_path.glob("source-*"))


@pytest.mark.parametrize(("limit", "most"), [({"ahead": 3}, 4), ({"ahead_bytes": 2 * len(BODY)}, 3)])
def test_files_fetched_ahead_are_limited(
    server: str, tmp_path: Path, limit: dict[str, int], most: int
) -> None:
    UnreliableServer.asked.clear()
    policy = POLICY.model_copy(update={"concurrency": 1, **limit})
    with fetched_ahead(rows_of(server, 20), None, tmp_path, policy) as sources:
        for _ in range(10):
            next(sources)
            time.sleep(0.02)
            assert len(list(tmp_path.glob("source-*"))) <= most
        assert 10 <= UnreliableServer.asked.total() <= 10 + most
