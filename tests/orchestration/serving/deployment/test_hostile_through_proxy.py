"""All hostile requests to the real `animatic serve`, through Ray Serve's proxy."""

from http.client import HTTPConnection
from pathlib import Path

import psutil
import pytest

from orchestration.serving.schema import API_CODES
from tests.support import hostile
from tests.support.hostile_server import MIB, ServerProcess
from tests.support.serve_process import API, PROXY, serving
from tests.support.serving import export_moving, picture

pytestmark = pytest.mark.slow


def ask(server: ServerProcess, request: hostile.Hostile) -> tuple[int, bytes]:
    connection = HTTPConnection(server.host, server.port, timeout=60)
    try:
        connection.request(request.method, request.path, request.body, dict(request.headers))
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_hostile_requests_are_answered_as_without_the_proxy_and_memory_stays_flat(tmp_path: Path) -> None:
    limits = {
        "body_bytes": hostile.BODY_BYTES,
        "pixels": hostile.PIXELS,
        "side": hostile.SIDE,
        "prompt_chars": hostile.PROMPT_CHARS,
        "requests_per_minute": 100_000,
    }
    export_moving(tmp_path / "exports", tmp_path)
    options = [part for name, value in limits.items() for part in ("--set", f"limits.{name}={value}")]
    with serving(tmp_path / "service", tmp_path / "exports", *options) as service:
        host, _, port = service.url().removeprefix("http://").rstrip("/").partition(":")
        proxy, api = (
            ServerProcess(host, int(port), psutil.Process(service.processes(title)[0].pid))
            for title in (PROXY, API)
        )

        def send_all() -> list[str]:
            found = {name: ask(proxy, request) for name, request in hostile.all_requests().items()}
            wanted = hostile.all_requests()
            return [
                f"{name}: {status} {body[:200]!r}"
                for name, (status, body) in found.items()
                if status != API_CODES[wanted[name].code].status
                or f'"code":"{wanted[name].code}"'.encode() not in body
            ]

        assert send_all() == []
        with proxy.grows_less_than(60 * MIB), api.grows_less_than(60 * MIB):
            assert send_all() == []
        assert service.ended(service.submit(picture()))["status"] == "completed"
