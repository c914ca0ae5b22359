"""The whole service in this process behind a real web server, for the tests of its page."""

from __future__ import annotations

import json
import socket
import threading
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI

from core.repeating import Repeating
from orchestration.serving.access import Access, create_key
from orchestration.serving.api import build_app
from orchestration.serving.intake import read_submission
from orchestration.serving.settings import ServingSettings
from tests.support.serving import ENDED, FixedModels, StepGate, engine_service, export_moving
from tests.support.serving_api import Clock
from tests.support.waiting import wait_until

NAMES = ("champion", "challenger")


class PageService:
    """A service whose server can be away while its engine works.

    Attributes:
        gate: stops sampling after a step.
        key: an API key, where the service needs one.
    """

    def __init__(self, app: FastAPI, gate: StepGate, clock: Clock, key: str) -> None:
        self._app, self.gate, self._clock, self.key = app, gate, clock, key
        self._server: uvicorn.Server | None = None
        self._thread = threading.Thread()
        self._port = 0

    @property
    def url(self) -> str:
        """Of the page."""
        return f"http://127.0.0.1:{self._port}/"

    def up(self) -> None:
        """Listen, on the same port as before."""
        listener = socket.create_server(("127.0.0.1", self._port))
        self._port = listener.getsockname()[1]
        config = uvicorn.Config(self._app, log_level="error", timeout_graceful_shutdown=0)
        self._server = server = uvicorn.Server(config)
        self._thread = threading.Thread(target=server.run, args=([listener],))
        self._thread.start()
        wait_until(lambda: server.started, every_s=0.01)

    def down(self) -> None:
        """Close the port and every connection."""
        assert self._server is not None
        self._server.should_exit = True
        self._thread.join()

    def models(self) -> list[dict[str, Any]]:
        """The models, as the API answers them."""
        return list(self._get("v1/models")["data"])

    def videos(self) -> list[dict[str, Any]]:
        """The videos, the newest first."""
        return list(self._get("v1/videos?limit=100")["data"])

    def newest(self) -> dict[str, Any]:
        """The video that was asked for last."""
        return self.videos()[0]

    def ended(self, video_id: str) -> dict[str, Any]:
        """A video once it has ended."""

        def found() -> dict[str, Any] | None:
            video = self._get(f"v1/videos/{video_id}")
            return video if video["status"] in ENDED else None

        video = wait_until(found, every_s=0.02)
        assert video is not None
        return video

    def content(self, video_id: str) -> bytes:
        """The mp4 of a video."""
        return self._request("GET", f"v1/videos/{video_id}/content")

    def delete(self, video_id: str) -> None:
        """Remove a video that has ended."""
        self._request("DELETE", f"v1/videos/{video_id}")

    def let_pass(self, hours: float) -> None:
        """Put the service's clock forward."""
        self._clock.ahead += timedelta(hours=hours)

    def _get(self, path: str) -> dict[str, Any]:
        return dict(json.loads(self._request("GET", path)))

    def _request(self, method: str, path: str) -> bytes:
        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        request = urllib.request.Request(self.url + path, method=method, headers=headers)
        with urllib.request.urlopen(request) as answer:
            return bytes(answer.read())


@contextmanager
def page_service(
    folder: Path, *, queue: int = 100, keys: bool = False, names: Sequence[str] = NAMES
) -> Iterator[PageService]:
    """A running service with its state in ``folder``.

    Args:
        queue: videos that may wait.
        keys: whether it needs an API key.
        names: of its models.
    """
    for seed, name in enumerate(names):
        export_moving(folder / "exports", folder / f"workspace-{name}", seed, name)
    models = FixedModels(folder / "exports", folder / "models", *names)
    settings = ServingSettings.model_validate({"limits": {"queue": queue}})
    file = folder / "keys.json"
    key = create_key(file, "somebody")[0] if keys else ""
    clock, gate = Clock(), StepGate()
    with pytest.MonkeyPatch.context() as patch, engine_service(folder, models, clock=clock) as engine:
        gate.install(patch)
        models.report(engine.store)
        reporting = Repeating(lambda: models.report(engine.store), 1.0, "reports")
        reporting.start()
        engine.start()
        access = Access(file if keys else None)
        app = build_app(engine.store, engine.results, settings, access, read_submission)
        service = PageService(app, gate, clock, key)
        service.up()
        try:
            yield service
        finally:
            gate.open()
            service.down()
            reporting.stop()
