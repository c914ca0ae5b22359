"""Headers, cookies and limits of web requests: who gets them, and where their secrets stay."""

import email.utils
import pickle
import time
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest

from core.config.validation import configure
from core.errors import AnimaticError, RejectedError
from pipelines.fetch import Fetcher, FetchPolicy, HostLimits
from pipelines.fetch.failures import retry_after
from pipelines.ingest import IngestConfig
from tests.support.range_server import RangeServer, serving_ranges

SECRET = "s3cr3t-of-test"
BASE: dict[str, object] = {"backoff_s": 0.01, "timeout_s": 5, "allow_private": True}


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    (tmp_path / "v.mp4").write_bytes(b"video" * 100)
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("TOKEN", SECRET)
    with serving_ranges(tmp_path) as address:
        yield address


def headers_at(server: str, path: str, into: Path, **settings: object) -> list[dict[str, str]]:
    """The headers of every request of one download."""
    RangeServer.headers_seen.clear()
    with Fetcher(FetchPolicy.model_validate({**BASE, **settings})) as fetcher:
        fetcher.submit([server + path], into / "into").result()
    return list(RangeServer.headers_seen)


def other_name(server: str) -> str:
    """The same server by another host name."""
    return server.replace("127.0.0.1", "localhost")


def test_requests_carry_the_headers_and_the_name_of_the_client(server: str, tmp_path: Path) -> None:
    (plain,) = headers_at(server, "/parts/v.mp4", tmp_path)
    assert plain["User-Agent"].startswith("animatic/")
    sent = {"headers": {"Referer": "https://films.example/"}, "user_agent": "Films 2.0"}
    (headers,) = headers_at(server, "/parts/v.mp4", tmp_path, **sent)
    assert (headers["User-Agent"], headers["Referer"]) == ("Films 2.0", "https://films.example/")


def test_ranges_of_archives_carry_them_too(server: str, tmp_path: Path) -> None:
    own = {"host_headers": {"127.0.0.1": {"Authorization": "env:TOKEN"}}}
    (headers,) = headers_at(server, "/parts/v.mp4#offset=5&size=5", tmp_path, **own)
    assert (headers["Authorization"], headers["Range"]) == (SECRET, "bytes=5-9")


def test_the_headers_of_a_host_are_sent_to_no_other(server: str, tmp_path: Path) -> None:
    own = {"host_headers": {"127.0.0.1": {"Authorization": "env:TOKEN"}}}
    (headers,) = headers_at(other_name(server), "/parts/v.mp4", tmp_path, **own)
    assert "Authorization" not in headers
    first, second = headers_at(server, f"/to/{other_name(server)}/parts/v.mp4", tmp_path, **own)
    assert first["Authorization"] == SECRET
    assert "Authorization" not in second


def test_a_redirect_to_another_host_takes_only_harmless_headers_along(server: str, tmp_path: Path) -> None:
    settings = {"headers": {"X-Api-Key": "env:TOKEN", "Referer": "https://films.example/"}}
    path = f"/to/{other_name(server)}/parts/v.mp4"
    first, second = headers_at(server, path, tmp_path, **settings)
    assert first["X-Api-Key"] == SECRET
    assert "X-Api-Key" not in second
    assert second["Referer"] == "https://films.example/"
    first, second = headers_at(server, f"/to/{server}/parts/v.mp4", tmp_path, **settings)
    assert second["X-Api-Key"] == SECRET


def cookie_file(folder: Path, domain: str) -> str:
    later = int(time.time()) + 3600
    lines = [
        "# Netscape HTTP Cookie File",
        f"#HttpOnly_{domain}\tFALSE\t/\tFALSE\t{later}\tsession\t{SECRET}",
    ]
    lines.append(f"{domain}\tFALSE\t/private\tFALSE\t{later}\tother\tpath")
    (folder / "cookies.txt").write_text("\n".join(lines) + "\n")
    return str(folder / "cookies.txt")


def test_cookies_are_sent_where_they_belong(server: str, tmp_path: Path) -> None:
    settings = {"cookies": cookie_file(tmp_path, "127.0.0.1")}
    (headers,) = headers_at(server, "/parts/v.mp4", tmp_path, **settings)
    assert headers["Cookie"] == f"session={SECRET}"
    first, second = headers_at(server, f"/to/{other_name(server)}/parts/v.mp4", tmp_path, **settings)
    assert first["Cookie"] == f"session={SECRET}"
    assert "Cookie" not in second


def test_cookies_and_secrets_reach_workers_that_have_neither_file_nor_variable(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = {"host_headers": {"127.0.0.1": {"Authorization": "env:TOKEN"}}}
    policy = FetchPolicy.model_validate({**BASE, **own, "cookies": cookie_file(tmp_path, "127.0.0.1")})
    policy, access = pickle.loads(pickle.dumps((policy, policy.access())))
    (tmp_path / "cookies.txt").unlink()
    monkeypatch.delenv("TOKEN")
    RangeServer.headers_seen.clear()
    with Fetcher(policy, access=access) as fetcher:
        fetcher.submit([f"{server}/parts/v.mp4"], tmp_path / "into").result()
    (headers,) = RangeServer.headers_seen
    assert (headers["Authorization"], headers["Cookie"]) == (SECRET, f"session={SECRET}")
    with pytest.raises(AnimaticError, match="the environment variable TOKEN is not set"):
        policy.access()
    monkeypatch.setenv("TOKEN", "x")
    with pytest.raises(AnimaticError, match=r"fetch\.cookies: .*cannot be read"):
        policy.access()


def test_secrets_stay_out_of_everything_that_is_displayed_or_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", SECRET)
    values = {
        "headers": {"X-Note": SECRET},
        "host_headers": {"a.example": {"Cookie": "env:TOKEN"}},
        "cookies": cookie_file(tmp_path, "a.example"),
    }
    config = IngestConfig.model_validate({"source": "t.csv", "output": "o", "fetch": values})
    access = config.fetch.access()
    displayed = [repr(config), config.model_dump_json(), str(config.model_dump()), repr(access), str(access)]
    assert all(SECRET not in text for text in displayed)
    assert "env:TOKEN" in config.model_dump_json()
    assert access.headers == {"X-Note": SECRET}


@pytest.mark.parametrize(
    ("assignment", "expected"),
    [
        (f"headers={{Authorization: {SECRET}}}", "Authorization: env:NAME"),
        (f"headers={{X-Api-Key: {SECRET}}}", "would be a secret in a command line"),
        ("headers={Cookie: 'env:A'}", "Cookie is not for every host"),
        ("headers={Range: bytes=0-1}", "Range is set by each request itself"),
        ("headers={User-Agent: x}", "fetch.user_agent is for it"),
        ("headers={'a b': x}", "'a b' is no name of a header"),
        (f'headers={{X-A: "{SECRET}\\r\\nX-B: c"}}', "X-A contains a character"),
        ("host_headers={'https://a.example/': {X-A: b}}", "is no host: a name as cdn.example.org"),
        ('user_agent="a\\nb"', "contains a character that no header can have"),
        ("per_host_rate=0", "greater than 0"),
        ("per_host_total=0", "greater than or equal to 1"),
    ],
)
def test_headers_that_cannot_be_sent_or_would_leak_are_refused_without_their_values(
    assignment: str, expected: str
) -> None:
    with pytest.raises(AnimaticError) as caught:
        configure(IngestConfig, values={"source": "t.csv", "output": "o"}, sets=[f"fetch.{assignment}"])
    assert expected in str(caught.value)
    assert SECRET not in str(caught.value)


def test_a_file_that_is_no_file_of_cookies_is_named_without_its_content(tmp_path: Path) -> None:
    path = tmp_path / "c.txt"
    for content in (SECRET, f"# Netscape HTTP Cookie File\nx\t{SECRET}\n"):
        path.write_text(content)
        with pytest.raises(AnimaticError, match=r"c\.txt is no file of cookies") as caught:
            FetchPolicy(cookies=str(path)).access()
        assert SECRET not in str(caught.value)


def test_a_pause_may_be_asked_for_in_seconds_or_until_a_date() -> None:
    assert retry_after({"Retry-After": "7"}) == 7
    assert retry_after({"Retry-After": "999999"}) == 600
    date = email.utils.formatdate(time.time() + 30, usegmt=True)
    assert 25 < retry_after({"Retry-After": date}) <= 30
    for text in ("", "soon", "-5", "Thu, 01 Jan 1970 00:00:00 GMT", "٣"):
        assert retry_after({"Retry-After": text}) == 0


class BusyOnce(RangeServer):
    """Answers the first request with 429, and asks for half a second."""

    moments: list[float] = []  # noqa: RUF012

    def do_GET(self) -> None:
        self.moments.append(time.monotonic())
        self._send(200, b"video", {}) if len(self.moments) > 1 else self._send(429, b"", {"Retry-After": "1"})


def test_a_host_that_wants_fewer_requests_gets_a_pause_from_every_download(tmp_path: Path) -> None:
    import threading

    with ThreadingHTTPServer(("127.0.0.1", 0), BusyOnce) as served:
        threading.Thread(target=served.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{served.server_port}"
        with Fetcher(FetchPolicy.model_validate({**BASE, "concurrency": 2})) as fetcher:
            first = fetcher.submit([f"{address}/1"], tmp_path / "1")
            while not BusyOnce.moments:
                time.sleep(0.01)
            time.sleep(0.1)
            second = fetcher.submit([f"{address}/2"], tmp_path / "2")
            assert [first.result().size, second.result().size] == [5, 5]
        served.shutdown()
    begun, *later = BusyOnce.moments
    assert len(later) == 2
    assert min(later) - begun >= 0.95


def test_a_rate_holds_for_redirects_and_ranges_too(server: str, tmp_path: Path) -> None:
    begun = time.monotonic()
    headers_at(server, f"/to/{server}/parts/v.mp4", tmp_path, per_host_rate=5)
    assert time.monotonic() - begun >= 0.2


def test_only_so_many_downloads_of_all_workers_run_at_once() -> None:
    policy = FetchPolicy(per_host_total=3, timeout_s=10)
    assert policy.has_host_limits
    assert isinstance(policy.host_limits(), HostLimits)
    assert not FetchPolicy().has_host_limits


def test_a_failure_is_rejected_without_the_secret(server: str, tmp_path: Path) -> None:
    own = {**BASE, "attempts": 1, "host_headers": {"127.0.0.1": {"Authorization": "env:TOKEN"}}}
    with Fetcher(FetchPolicy.model_validate(own)) as fetcher, pytest.raises(RejectedError) as caught:
        fetcher.submit([f"{server}/parts/gone.mp4"], tmp_path / "into").result()
    assert SECRET not in str(caught.value)
