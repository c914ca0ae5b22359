"""Hostile clients of a real server: what they send too slowly, without end, in part, or all at once.

The server answers others meanwhile, and its memory stays bounded."""

import asyncio
import json
import socket
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.support import hostile
from tests.support.hostile_server import MIB, ServerProcess, server_process
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow
BODY_SECONDS = 3.0
BODIES = 8
LARGE = 2 * MIB
POST = b"POST /v1/videos HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: " + (
    f"multipart/form-data; boundary={hostile.BOUNDARY}\r\n".encode()
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    limits = {
        "body_bytes": LARGE,
        "body_seconds": BODY_SECONDS,
        "bodies": BODIES,
        "pixels": hostile.PIXELS,
        "side": hostile.SIDE,
        "prompt_chars": hostile.PROMPT_CHARS,
    }
    with server_process(tmp_path_factory.mktemp("server"), **limits) as server:
        assert ask(server, request("GET", "/livez", b"")) == (200, None)
        assert ask(server, posted(hostile.form()))[0] == 202
        yield server


def posted(body: bytes) -> bytes:
    return POST + f"Content-Length: {len(body)}\r\n\r\n".encode() + body


def request(method: str, path: str, body: bytes, **headers: str) -> bytes:
    given = {"Host": "127.0.0.1", "Content-Length": str(len(body)), **headers}
    lines = "".join(f"{name}: {value}\r\n" for name, value in given.items())
    return f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode("latin-1") + body


def connected(server: ServerProcess) -> socket.socket:
    return socket.create_connection((server.host, server.port), timeout=30)


def answer(client: socket.socket) -> tuple[int, str | None]:
    """The status and the code of the error of an answer."""
    with client.makefile("rb") as file:
        return _parsed(file.read1)


def _parsed(read) -> tuple[int, str | None]:
    received = b""
    while b"\r\n\r\n" not in received:
        more = read(65536)
        assert more, f"the connection was closed after {received!r}"
        received += more
    head, _, body = received.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").lower().split("\r\n")
    length = next((int(line.split(":")[1]) for line in lines if line.startswith("content-length")), 0)
    while len(body) < length:
        body += read(65536)
    error = json.loads(body)["error"]["code"] if int(lines[0].split()[1]) >= 400 else None
    return int(lines[0].split()[1]), error


def ask(server: ServerProcess, content: bytes) -> tuple[int, str | None]:
    with connected(server) as client:
        client.sendall(content)
        return answer(client)


def check_serves(server: ServerProcess) -> None:
    """Others are answered, at once."""
    started = time.monotonic()
    assert ask(server, request("GET", "/livez", b""))[0] == 200
    assert ask(server, posted(hostile.form(first=b"no picture"))) == (400, "invalid_image")
    assert time.monotonic() - started < 5


def test_a_slow_body_is_refused_in_time(server):
    body = hostile.form()
    with connected(server) as client:
        client.sendall(posted(body)[: -len(body)])
        started, status, sent = time.monotonic(), None, 0
        client.settimeout(0.1)
        while status is None:
            client.sendall(body[sent : sent + 1])
            sent += 1
            try:
                status = _parsed(client.recv)
            except TimeoutError:
                check_serves(server)
        assert status == (408, "body_timeout")
        assert BODY_SECONDS - 0.5 < time.monotonic() - started < BODY_SECONDS + 3


def test_a_length_over_the_limit_is_refused_before_a_byte_is_sent(server):
    with connected(server) as client:
        client.sendall(POST + f"Content-Length: {10**12}\r\n\r\n".encode())
        assert answer(client) == (413, "body_too_large")
    with connected(server) as client:
        client.sendall(POST + f"Content-Length: {10**12}\r\nExpect: 100-continue\r\n\r\n".encode())
        assert answer(client) == (413, "body_too_large")


def test_endless_chunks_are_refused_at_the_limit_and_the_connection_is_closed(server):
    begun = hostile.form(first=bytes(LARGE))[:1000]
    start = POST + b"Transfer-Encoding: chunked\r\n\r\n" + f"{len(begun):x}\r\n".encode() + begun + b"\r\n"
    chunk = b"10000\r\n" + bytes(0x10000) + b"\r\n"
    with server.grows_less_than(30 * MIB):
        with connected(server) as client, pytest.raises(ConnectionError):
            client.sendall(start)
            while True:
                client.sendall(chunk)
        with connected(server) as client:
            client.sendall(start + chunk * 2 * (LARGE // 0x10000))
            assert answer(client) == (413, "body_too_large")


def test_a_client_that_leaves_in_the_middle_of_a_body_leaves_nothing(server):
    for number in range(50):
        with connected(server) as client:
            client.sendall(posted(hostile.form())[: 200 + 20 * number])
            client.shutdown(socket.SHUT_WR)
    for _ in range(50):
        client = connected(server)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # closes by a reset
        client.sendall(posted(hostile.form())[:400])
        client.close()
    wait_until(lambda: server.connections == 0, every_s=0.05)
    check_serves(server)


def test_many_clients_that_never_end_their_headers_stop_nobody(server):
    with server.grows_less_than(30 * MIB), ExitStack() as stack:
        clients = [stack.enter_context(connected(server)) for _ in range(300)]
        for client in clients:
            client.sendall(b"POST /v1/videos HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ")
        check_serves(server)
        for client in clients:
            client.sendall(b"x")
        check_serves(server)
    wait_until(lambda: server.connections == 0, every_s=0.05)


@pytest.mark.parametrize(
    "content",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\0" * 1000,
        POST + b"Content-Length: -5\r\n\r\n",
        POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcde",
        POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        POST + b"X: a\0b\r\n\r\n",
    ],
)
def test_what_is_no_http_is_refused_by_the_server_itself(server, content):
    with connected(server) as client:
        client.sendall(content)
        client.shutdown(socket.SHUT_WR)
        received = b""
        while more := client.recv(65536):
            received += more
        assert received == b"" or received.startswith(b"HTTP/1.1 4")
    check_serves(server)


def test_a_thousand_bodies_at_once_use_the_memory_of_a_few(server):
    body = hostile.form(first=b"\x89PNG\r\n\x1a\n" + bytes(LARGE - 1000))

    async def send() -> str:
        reader, writer = await asyncio.open_connection(server.host, server.port)
        try:
            writer.write(posted(body))
            line = await reader.readline()
            return line.split()[1].decode()
        except ConnectionError:
            return "reset"
        finally:
            writer.close()

    async def all_at_once() -> Counter[str]:
        return Counter(await asyncio.gather(*(send() for _ in range(1000))))

    with server.grows_less_than(500 * MIB):  # 2,000 MiB are sent, and each connection has buffers
        found = asyncio.run(all_at_once())
    with server.grows_less_than(200 * MIB):
        found += asyncio.run(all_at_once())
    assert set(found) <= {"400", "503", "408"} and found["400"] >= 1 and found["503"] >= 100
    wait_until(lambda: server.connections == 0, every_s=0.05)
    check_serves(server)


def test_memory_stays_flat_over_all_hostile_requests(server):
    requests = [
        request(each.method, each.path, each.body, **each.headers) for each in hostile.all_requests().values()
    ]

    def send_all() -> None:
        for content in requests:
            status, _ = ask(server, content)
            assert 400 <= status < 500

    send_all()
    with server.grows_less_than(20 * MIB):
        for _ in range(4):
            send_all()
    check_serves(server)
