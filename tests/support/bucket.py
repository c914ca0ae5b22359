"""An object store that speaks S3, in this process."""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import boto3
import fsspec
import pytest
import requests
from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from moto.server import ThreadedMotoServer
from werkzeug.serving import make_server

BUCKET = "clips"
Application = Callable[[dict[str, Any], Any], Iterable[bytes]]


class AtomicServer(ThreadedMotoServer):
    """moto looks for an object and creates it in two steps; this one does one request after the other, as if
    in one, like S3.

    ``around``: wraps the application, to lose requests or answers.
    """

    def __init__(
        self, around: Callable[[Application], Application] = lambda application: application
    ) -> None:
        super().__init__("127.0.0.1", port=0, verbose=False)
        self.around = around

    def _server_entry(self) -> None:
        application, lock = DomainDispatcherApplication(create_backend_app), threading.Lock()

        def one_at_a_time(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            with lock:
                return list(application(environ, start_response))

        self._server = make_server(
            self._ip_address,
            self._port,
            self.around(one_at_a_time),
            True,
            request_handler=MotoRequestHandler,
        )
        self._server_ready_event.set()
        self._server.serve_forever()


@contextmanager
def bucket(server: ThreadedMotoServer) -> Iterator[str]:
    """The URL of an empty bucket on a server, which other processes find through their environment."""
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("AWS_ENDPOINT_URL", address)
            patch.setenv("AWS_ACCESS_KEY_ID", "test")
            patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
            patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
            for variable in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY"):
                patch.delenv(variable, raising=False)
            # All servers of a process have the same objects: those of earlier tests are removed.
            requests.post(f"{address}/moto-api/reset", timeout=60).raise_for_status()
            fsspec.filesystem("s3").clear_instance_cache()
            boto3.client("s3").create_bucket(Bucket=BUCKET)
            yield f"s3://{BUCKET}"
    finally:
        server.stop()
