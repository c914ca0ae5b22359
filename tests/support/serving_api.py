"""The HTTP API over a small job store, and a replica whose work a test does by hand."""

from __future__ import annotations

import io
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import uvicorn
from PIL import Image
from starlette.testclient import TestClient
from starlette.types import ASGIApp

from models.diffusion.settings import SamplingSettings
from orchestration.serving.api import build_app
from orchestration.serving.api.recorder import Recorder
from orchestration.serving.intake import read_submission
from orchestration.serving.jobs import (
    Clip,
    Job,
    JobStore,
    MadeBy,
    ModelStatus,
    ReplicaReport,
    ServedVersion,
)
from orchestration.serving.results import Results
from orchestration.serving.schema import Video
from orchestration.serving.settings import ServingSettings
from tests.support.waiting import wait_until

BUNDLE, MANIFEST, FORMER = "ab" * 32, "cd" * 32, "ef" * 32
MP4, GIF = bytes(range(256)) * 4, b"GIF89a-of-a-test"


def picture(width: int = 8, height: int = 8) -> bytes:
    """A small PNG."""
    file = io.BytesIO()
    Image.new("RGB", (width, height), (10, 120, 200)).save(file, "PNG")
    return file.getvalue()


def version(**changes: Any) -> ServedVersion:
    """What a replica reports of the model that it serves."""
    return ServedVersion(
        **{
            "name": "champion",
            "bundle_id": BUNDLE,
            "manifest": MANIFEST,
            "preset": "tiny",
            "stage": 3,
            "alias": "champion",
            "since": datetime(2026, 1, 1, tzinfo=UTC),
            "width": 64,
            "height": 48,
            "frames": 8,
            "modes": ("animate", "interpolate", "loop"),
            "sampling": SamplingSettings(steps=20, text_guidance=5.0),
        }
        | changes
    )


@dataclass(frozen=True)
class AnyCaller:
    """A key that was believed."""

    name: str
    admin: bool
    requests_per_minute: int | None = None


class AnyKey:
    """Takes ``X-API-Key`` as the name of the key; ``admin-NAME`` is one of an administrator, ``slow`` may
    submit one video a minute."""

    required = False

    def authenticate(self, headers: Mapping[str, str]) -> AnyCaller:
        key = headers.get("x-api-key", "anonymous")
        rate = 1 if key == "slow" else None
        return AnyCaller(key.removeprefix("admin-"), key.startswith("admin-"), rate)


class Clock:
    """The time, which a test can put forward."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> float:
        return (datetime.now(UTC) + self.ahead).timestamp()


@dataclass
class ApiService:
    """An app, a client of it, and the stores behind it."""

    client: TestClient
    store: JobStore
    results: Results
    folder: Path
    clock: Clock

    @property
    def recorder(self) -> Recorder:
        """The counters of the app on their way to the store."""
        recorder: Recorder = self.client.app.state.service.recorder  # type: ignore[attr-defined]
        return recorder

    def report(self, *models: ModelStatus, replica: str = "r1") -> None:
        """A replica that serves the champion, or has these models."""
        serving = ModelStatus(name="champion", state="serving", serving=version(), desired=MANIFEST)
        self.store.report(
            ReplicaReport(replica=replica, device="cpu", memory_bytes=1000, models=models or (serving,))
        )

    def submit(self, **fields: object) -> str:
        """The id of an accepted video."""
        return str(self.post(**fields).raise_for_status().json()["id"])

    def post(
        self, path: str = "/v1/videos", headers: Mapping[str, str] | None = None, **fields: object
    ) -> Any:
        """The answer to a request with a picture."""
        files = {"input_reference": ("a.png", picture(), "image/png")}
        data = {name: str(value) for name, value in fields.items()}
        return self.client.post(path, files=files, data=data, headers=headers)

    def claim(self) -> Job:
        """The next job, in progress."""
        (job,) = self.store.claim("r1", {"champion"}, 1)
        return job

    def complete(self, job: Job) -> None:
        """End a claimed job with a clip."""
        made_by = MadeBy(
            bundle_id=BUNDLE,
            manifest=MANIFEST,
            preset="tiny",
            stage=3,
            alias="champion",
            replica="r1",
            sampling=version().sampling.model_copy(update=job.spec.sampling.model_dump(exclude_none=True)),
        )
        self.store.complete(job, made_by, self._clip(job, "mp4", MP4), self._clip(job, "gif", GIF))

    def video(self, video_id: str) -> Video:
        """A video as the API answers it."""
        return Video.model_validate_json(self.client.get(f"/v1/videos/{video_id}").raise_for_status().content)

    def job(self, job_id: str) -> Job:
        """A job as the store has it."""
        job = self.store.get(job_id)
        assert job is not None
        return job

    def next_job(self) -> Job:
        """The next job, as soon as one is accepted."""
        return wait_until(lambda: self.store.claim("r1", {"champion"}, 1), every_s=0.01)[0]

    def stored(self) -> list[Path]:
        """The files of the results store."""
        return [path for path in self.folder.rglob("*") if path.is_file()]

    def _clip(self, job: Job, kind: str, content: bytes) -> Clip:
        file = self.folder.parent / f"clip.{kind}"
        file.write_bytes(content)
        stored = self.results.put(f"{job.id}-{job.attempt}.{kind}", file)
        return Clip(**stored._asdict(), width=64, height=48, frames=8, seconds=1.0)


@contextmanager
def api_service(folder: Path, settings: ServingSettings | None = None) -> Iterator[ApiService]:
    """The API over stores in a folder; errors of routes are answered, not raised."""
    clock = Clock()
    store = JobStore(f"sqlite:///{folder / 'jobs.sqlite'}", clock=clock)
    results = Results(folder / "results", folder / "cache", clock=clock)
    app = build_app(store, results, settings or ServingSettings(), AnyKey(), read_submission)
    with TestClient(app, "http://127.0.0.1", raise_server_exceptions=False) as client:
        yield ApiService(client, store, results, folder / "results", clock)
    store.close()


@contextmanager
def served(service: ApiService) -> Iterator[str]:
    """The URL of a real server with the same app."""
    with listening(service.client.app, lifespan="off") as url:
        yield url


@contextmanager
def listening(app: ASGIApp, lifespan: Literal["on", "off"] = "on") -> Iterator[str]:
    """The URL of a real server with an app."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        config = uvicorn.Config(app, lifespan=lifespan, log_level="error", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            wait_until(lambda: server.started, every_s=0.01)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.should_exit = True
            thread.join()
