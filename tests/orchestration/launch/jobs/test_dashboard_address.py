"""The address of a cluster's dashboard: where none answers, the cause is reported, within seconds."""

import contextlib
import errno
import os
import socket
import threading
from collections.abc import Iterator

import pytest

from core.errors import AnimaticError
from orchestration.launch.jobs import JobServer, LostServerError, address
from orchestration.launch.jobs import server as server_module
from tests.support.job_server import FakeJobServer


@contextlib.contextmanager
def dripping() -> Iterator[str]:
    """While entered, the URL of a server whose answer has no end: a byte of it every now and then."""
    ended = threading.Event()

    def answer(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
            while not ended.wait(0.01):
                connection.sendall(b"x")

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=answer, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            ended.set()


@pytest.mark.parametrize(
    ("address", "cause"),
    [
        ("http://127.0.0.1:1", "no Ray dashboard at http://127.0.0.1:1 .*: nothing listens there"),
        ("http://name.invalid:8265", "the name name.invalid does not resolve"),
        ("http://[", "not a valid URL"),
        ("ray://head:10001", "is an address for interactive clients: jobs go to the dashboard"),
        ("head", "is not the address of a Ray cluster: give the URL of its dashboard"),
        ("s3://bucket", "is not the address of a Ray cluster"),
        ("ana:pw@head:8265", "^head:8265 .* is not the address of a Ray cluster"),
        ("http://ana:pw@127.0.0.1:1", "no Ray dashboard at http://127.0.0.1:1"),
        (
            "http://ana:p/w@head:8265",
            "^the URL of --address has an @ behind a /: in a user name or password, write / as %2F",
        ),
        ("http://ana:1/w@head:8265", "^the URL of --address has an @ behind a /"),
    ],
)
def test_an_address_without_a_dashboard_is_an_error_with_its_cause(address: str, cause: str) -> None:
    with pytest.raises(AnimaticError, match=cause):
        JobServer(address)


def test_another_web_server_is_no_dashboard(server: FakeJobServer) -> None:
    with pytest.raises(AnimaticError, match="the server there is not Ray's dashboard"):
        JobServer(f"{server.url}/other")


def test_the_system_reports_why_a_machine_cannot_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> socket.socket:
        raise OSError(errno.EHOSTUNREACH, os.strerror(errno.EHOSTUNREACH))

    monkeypatch.setattr("urllib3.util.connection.create_connection", refuse)
    with pytest.raises(AnimaticError, match=r"no Ray dashboard at http://127.0.0.1:1 .*: No route to host"):
        JobServer("http://127.0.0.1:1")


def test_a_server_whose_answer_has_no_end_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(address, "CONNECT_S", 0.2)
    with dripping() as url, pytest.raises(AnimaticError, match=r"it did not answer within 0\.2 s"):
        JobServer(url)


def test_a_job_server_whose_answers_have_no_end_is_lost(
    server: FakeJobServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = JobServer(server.url)
    monkeypatch.setattr(server_module, "ANSWER_S", 0.2)
    with dripping() as url:
        found._client._address = url
        with pytest.raises(LostServerError, match=r"any more: no answer within 0\.2 s"):
            found.jobs()
