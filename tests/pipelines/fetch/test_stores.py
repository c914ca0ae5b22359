"""Object stores and file servers behind fsspec: every failure is the rejection of one row."""

import errno
import ftplib
import io
from collections import Counter
from pathlib import Path
from typing import ClassVar

import fsspec
import pytest
from fsspec import AbstractFileSystem
from fsspec.registry import known_implementations

from core.errors import RejectedError
from pipelines.fetch import Fetched, Fetcher, FetchPolicy
from pipelines.fetch.stores import missing_package

POLICY = FetchPolicy(backoff_s=0.01, timeout_s=5, allow_private=True)


def fetch(location: str, into: Path) -> Fetched:
    with Fetcher(POLICY) as fetcher:
        return fetcher.submit([location], into).result()


class FailingStore(AbstractFileSystem):
    """A store that raises what a test wants, as often as it wants."""

    protocol = "failing"
    cachable = False
    errors: ClassVar[list[Exception]] = []
    opened: ClassVar[Counter[str]] = Counter()

    def _open(self, path: str, mode: str = "rb", **options: object) -> io.BytesIO:
        self.opened[path] += 1
        if self.errors:
            raise self.errors.pop()
        return io.BytesIO(b"whole")


def foreign(name: str, message: str) -> Exception:
    """An error of a library that need not be installed, without a base in common with others."""
    error: Exception = type(name, (Exception,), {})(message)
    return error


# What is raised, the reason of the rejection, and a part of its detail.
FINAL: list[tuple[Exception, str, str]] = [
    (foreign("NoCredentialsError", "Unable to locate credentials"), "fetch_refused", "Unable to locate"),
    (foreign("ParamValidationError", "Invalid bucket name"), "fetch_refused", "Invalid bucket name"),
    (PermissionError("Forbidden"), "fetch_refused", "Forbidden"),
    (FileNotFoundError("no such key"), "missing_file", ""),
    (ftplib.error_perm("530 Login incorrect"), "fetch_refused", "530 Login incorrect"),
    (ftplib.error_perm("550 No such file"), "missing_file", ""),
    (ImportError('needs "paramiko" to be installed'), "unknown_protocol", "paramiko"),
    (OSError(errno.EINVAL, "InvalidBucketName"), "fetch_refused", "InvalidBucketName"),
    (ValueError("a bad\nkey"), "fetch_refused", "ValueError: a bad key"),
    (NotImplementedError(), "fetch_refused", "NotImplementedError"),
]
PASSING: list[tuple[Exception, str]] = [
    (ConnectionRefusedError(111, "Connection refused"), "ConnectionRefusedError"),
    (foreign("EndpointConnectionError", "http://user:secret@127.0.0.1:9"), "EndpointConnectionError"),
    (ftplib.error_temp("421 Too many users"), "421 Too many users"),
    (EOFError(), "EOFError"),
    (foreign("SSHException", "no banner"), "SSHException: no banner"),
]


@pytest.fixture(autouse=True)
def failing_store() -> None:
    fsspec.register_implementation("failing", FailingStore, clobber=True)
    FailingStore.errors.clear()
    FailingStore.opened.clear()


@pytest.mark.parametrize(("error", "reason", "detail"), FINAL, ids=lambda value: type(value).__name__)
def test_a_final_failure_of_a_store_rejects_the_row_at_once(
    tmp_path: Path, error: Exception, reason: str, detail: str
) -> None:
    FailingStore.errors[:] = [error] * 3
    with pytest.raises(RejectedError) as caught:
        fetch("failing://a.mp4", tmp_path / "into")
    assert caught.value.reason == reason
    assert detail in caught.value.detail
    assert "\n" not in caught.value.detail
    assert FailingStore.opened.total() == 1


@pytest.mark.parametrize(("error", "detail"), PASSING, ids=lambda value: type(value).__name__)
def test_a_store_that_does_not_answer_is_tried_again_and_then_the_row_is_rejected(
    tmp_path: Path, error: Exception, detail: str
) -> None:
    FailingStore.errors[:] = [error] * 2
    assert fetch("failing://a.mp4", tmp_path / "into").size == 5
    FailingStore.errors[:] = [error] * 3
    with pytest.raises(RejectedError) as caught:
        fetch("failing://a.mp4", tmp_path / "into")
    assert caught.value.reason == "fetch_failed"
    assert detail in caught.value.detail
    assert "secret" not in caught.value.detail
    assert FailingStore.opened.total() == 6


@pytest.mark.parametrize("mistake", [TypeError("x"), KeyError("x"), AttributeError("x")], ids=repr)
def test_a_mistake_in_the_code_rejects_no_row(tmp_path: Path, mistake: Exception) -> None:
    FailingStore.errors[:] = [mistake] * 3
    with pytest.raises(type(mistake)):
        fetch("failing://a.mp4", tmp_path / "into")
    assert FailingStore.opened.total() == 1


@pytest.mark.parametrize("address", ["github://x/y.mp4", "dir://x/y.mp4", "reference://x"])
def test_an_address_without_what_its_protocol_needs_rejects_the_row(tmp_path: Path, address: str) -> None:
    with pytest.raises(RejectedError, match=r"^fetch_refused: (Type|Attribute)Error"):
        fetch(address, tmp_path / "into")


class BrokenStore(AbstractFileSystem):
    """A store whose first connection is broken for good; fsspec keeps it."""

    protocol = "broken"
    connections: ClassVar[list[object]] = []

    def __init__(self, **options: object) -> None:
        super().__init__(**options)
        self.connections.append(self)

    def _open(self, path: str, mode: str = "rb", **options: object) -> io.BytesIO:
        if self is self.connections[0]:
            raise ConnectionResetError
        return io.BytesIO(b"whole")


def test_another_attempt_opens_another_connection(tmp_path: Path) -> None:
    fsspec.register_implementation("broken", BrokenStore, clobber=True)
    with Fetcher(POLICY.model_copy(update={"concurrency": 1})) as fetcher:
        assert fetcher.submit(["broken://a.mp4"], tmp_path / "into").result().size == 5


@pytest.mark.parametrize("location", ["ftp://127.0.0.1:9/x.mp4", "FTP://127.0.0.1:9/x.mp4"])
def test_a_file_server_that_refuses_connections_rejects_the_row(tmp_path: Path, location: str) -> None:
    with pytest.raises(RejectedError, match="fetch_failed: ConnectionRefusedError"):
        fetch(location, tmp_path / "into")


# Those whose addresses name no host of their own: they would leave this machine.
OUTSIDE = {"dbfs", "gist", "github", "hf", "http", "https", "s3", "s3a"}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("scheme", sorted(set(known_implementations) - OUTSIDE))
def test_addresses_of_every_protocol_reject_their_row_alone(tmp_path: Path, scheme: str) -> None:
    with Fetcher(POLICY) as fetcher:
        for rest in ("127.0.0.1:9/a/b.mp4", "", "127.0.0.1:9/x.tar#offset=5&size=5", "x/ä y.zip#member=a"):
            with pytest.raises(RejectedError) as caught:
                fetcher.submit([f"{scheme}://{rest}"], tmp_path / "into").result()
            assert caught.value.reason in {
                "missing_file", "fetch_refused", "fetch_failed", "unknown_protocol", "unreadable_archive",
            }  # fmt: skip


def test_a_bucket_that_cannot_exist_rejects_the_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(RejectedError, match=r"fetch_refused: .*[Bb]ucket"):
        fetch("s3://My Bucket/x.mp4", tmp_path / "into")


def test_a_package_that_is_missing_is_known_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert missing_package("memory") is None
    assert missing_package("s3") is None
    assert missing_package("nonsense") is None
    known = {"class": "no_such_package.fs.FS", "err": "install no_such_package"}
    monkeypatch.setitem(known_implementations, "absent", known)
    assert missing_package("absent") == "install no_such_package"
    with pytest.raises(RejectedError, match="unknown_protocol: install no_such_package"):
        fetch("absent://host/x.mp4", tmp_path / "into")


@pytest.mark.parametrize("host", ["[2001:db8::1]", "ann@[::1]"])
def test_the_host_of_a_store_may_be_an_ipv6_address(tmp_path: Path, host: str) -> None:
    assert fetch(f"failing://{host}/a.mp4", tmp_path / "a").path.read_bytes() == b"whole"
    assert list(FailingStore.opened) == [f"{host}/a.mp4"]


def test_an_address_within_an_address_is_refused_also_with_an_ipv6_host(tmp_path: Path) -> None:
    for url in ("zip://a::http://b", "failing://[::1]/a::file:///etc/passwd"):
        with pytest.raises(RejectedError, match="an address within an address"):
            fetch(url, tmp_path)
