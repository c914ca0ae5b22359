"""Addresses at which no Ray cluster answers: one line with the cause, before Ray waits for minutes."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
import ray

from core.errors import AnimaticError
from pipelines.cluster import address as checked
from pipelines.cluster.connect import ensure_ray


@pytest.fixture(autouse=True)
def not_connected(monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.delenv("RAY_USE_TLS", raising=False)
    monkeypatch.setattr(ray, "is_initialized", lambda: False)

    def never(*_: object, **__: object) -> None:
        raise AssertionError("Ray was asked to connect")

    monkeypatch.setattr(ray, "init", never)


@contextlib.contextmanager
def server(answer: bytes | None) -> Iterator[str]:
    """A server that answers the first bytes of a client; with None, it only accepts the connection."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()

        def serve() -> None:
            with contextlib.suppress(OSError):
                client, _ = listener.accept()
                with client:
                    if answer is not None:
                        client.recv(100)
                        client.sendall(answer)
                        client.shutdown(socket.SHUT_WR)
                    client.recv(1000)  # until the client closes
                    client.recv(1000)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        thread.join()


@pytest.fixture
def refusing() -> Iterator[str]:
    """An address where nothing listens, and nothing else begins to."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{bound.getsockname()[1]}"


@pytest.mark.parametrize("form", ["{}", "ray://{}"])
def test_an_address_where_nothing_listens(refusing, form):
    address = form.format(refusing)
    with pytest.raises(AnimaticError) as caught:
        ensure_ray(address)
    assert str(caught.value) == (
        f"no Ray cluster at {address} (--address): nothing listens there; start the cluster, correct the "
        "address, or leave it out to use this machine alone"
    )


def test_an_address_of_the_environment_is_named_as_such(refusing, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", refusing)
    message = rf"^no Ray cluster at {refusing} \(RAY_ADDRESS\): nothing listens there; .* or unset it to use"
    with pytest.raises(AnimaticError, match=message):
        ensure_ray()
    with pytest.raises(AnimaticError, match=message):
        ensure_ray("auto")


def test_the_recorded_cluster_of_this_machine_that_has_ended(refusing, monkeypatch):
    monkeypatch.setattr("ray._private.services.canonicalize_bootstrap_address", lambda _: refusing)
    message = rf"no Ray cluster at {refusing} \(--address auto\): nothing listens there"
    with pytest.raises(AnimaticError, match=message):
        ensure_ray("auto")


def test_auto_on_a_machine_without_a_cluster(monkeypatch):
    monkeypatch.setattr("ray._private.services.canonicalize_bootstrap_address", lambda _: None)
    with pytest.raises(AnimaticError, match=r"no Ray cluster runs on this machine .* run `ray start`"):
        ensure_ray("auto")


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-OpenSSH_9.6\r\n", b""])
def test_another_kind_of_server(answer):
    with server(answer) as address, pytest.raises(AnimaticError, match=r"the server there is not Ray; start"):
        ensure_ray(address)


def test_a_server_that_does_not_answer(monkeypatch):
    monkeypatch.setattr(checked, "CONNECT_S", 0.05)
    with server(None) as address, pytest.raises(AnimaticError, match=r"did not answer within 0\.05 s; start"):
        ensure_ray(address)


def test_a_name_that_does_not_resolve():
    with pytest.raises(
        AnimaticError, match=r"the name head\.invalid does not resolve \(.+\); start the cluster"
    ):
        ensure_ray("head.invalid:6379")


@pytest.mark.parametrize(
    "address",
    [
        "http://head:6379",
        "https://head",
        "ray:/head:10001",
        "head",
        "head:",
        ":6379",
        "head:port",
        "head:70000",
        "head:6379/x",
        "/tmp/ray",
    ],
)
def test_a_form_that_is_no_address(address):
    with pytest.raises(
        AnimaticError, match=r"is not the address of a Ray cluster: give auto, HOST:PORT or ray://"
    ):
        ensure_ray(address)


def test_a_name_that_cannot_be_one():
    with pytest.raises(
        AnimaticError, match=r"the name head\.\.lab does not resolve \(.+\); start the cluster"
    ):
        ensure_ray("head..lab:6379")


def test_a_resolver_that_does_not_answer(monkeypatch):
    """As with name servers that cannot be reached: each has a limit of its own, and there are several."""
    monkeypatch.setattr(checked, "CONNECT_S", 0.05)
    asked = threading.Event()

    def resolve(*_: object, **__: object) -> None:
        asked.wait(60)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    try:
        with pytest.raises(AnimaticError, match=r"head:6379 .*: it did not answer within 0\.05 s; start"):
            ensure_ray("head:6379")
    finally:
        asked.set()


@contextlib.contextmanager
def grpc_server(methods: dict[str, grpc.RpcMethodHandler]) -> Iterator[str]:
    """A server of gRPC with these methods of its service of health."""
    running = grpc.server(ThreadPoolExecutor(1))
    running.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("grpc.health.v1.Health", methods),)
    )
    port = running.add_insecure_port("127.0.0.1:0")
    running.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        running.stop(None).wait()


def answers_check(answer: bytes) -> dict[str, grpc.RpcMethodHandler]:
    return {"Check": grpc.unary_unary_rpc_method_handler(lambda request, context: answer)}


def test_ray_connects_to_a_server_that_answers_as_its_own_do(monkeypatch):
    connected: list[str] = []
    monkeypatch.setattr(ray, "init", lambda address, **_: connected.append(address))
    with grpc_server(answers_check(b"\x08\x01")) as address:
        ensure_ray(address)
    assert connected == [address]


def test_a_server_of_ray_clients_needs_no_service_of_health(monkeypatch):
    connected: list[str] = []
    monkeypatch.setattr(ray, "init", lambda address, **_: connected.append(address))
    with grpc_server({}) as address:
        ensure_ray(f"ray://{address}")
    assert connected == [f"ray://{address}"]


def test_a_server_of_something_else_that_speaks_http_2():
    """As a proxy does, which accepts connections to every address."""
    with (
        grpc_server({}) as address,
        pytest.raises(AnimaticError, match=r"the server there is not Ray; start"),
    ):
        ensure_ray(address)


def test_a_server_that_begins_as_ray_and_does_not_answer(monkeypatch):
    monkeypatch.setattr(checked, "CONNECT_S", 0.5)
    ended = threading.Event()
    hanging = grpc.unary_unary_rpc_method_handler(lambda request, context: ended.wait(60) and b"")
    with grpc_server({"Check": hanging}) as address:
        try:
            with pytest.raises(AnimaticError, match=r"it did not answer within 0\.5 s; start"):
                ensure_ray(address)
        finally:
            ended.set()
