"""A job server without a cluster: the dashboard's HTTP interface as Ray's own client uses it, with jobs that
write and end as a test scripts them."""

import asyncio
import io
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import ray
from aiohttp import web


@dataclass
class Course:
    """What a job does. ``pieces`` of its log; None breaks the connection through which it is followed there.

    ``hang``: the log is followed by nothing until ``released``, and the job runs on.
    """

    pieces: list[str | None]
    state: str = "SUCCEEDED"
    exit_code: int | None = 0
    message: str = ""
    hang: bool = False


@dataclass
class FakeJobServer:
    """Records what it is sent. ``course`` is that of every job; ``{id}`` in it becomes the job's id.

    ``down``: requests for a log or a job that are refused; ``cut``: those for the growing log alone.
    """

    course: Course = field(default_factory=lambda: Course(["done\n"]))
    token: str | None = None
    version: str = ray.__version__
    nodes: list[dict[str, float]] = field(default_factory=lambda: [{"CPU": 4.0}])
    down: int = 0
    cut: int = 0
    url: str = ""
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    packages: dict[str, bytes] = field(default_factory=dict)
    uploads: int = 0
    stopped: list[str] = field(default_factory=list)
    followed: int = 0
    following: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    released: threading.Event = field(default_factory=threading.Event)

    @property
    def last(self) -> dict[str, Any]:
        """The job that was submitted last."""
        return list(self.jobs.values())[-1]

    def files(self) -> dict[str, bytes]:
        """The content of the package that was sent last."""
        with zipfile.ZipFile(io.BytesIO(list(self.packages.values())[-1])) as archive:
            return {name: archive.read(name) for name in archive.namelist()}

    def add_job(self, job_id: str, state: str, metadata: dict[str, str] | None = None) -> None:
        """A job that was submitted before."""
        self.jobs[job_id] = self._record(job_id, {"entrypoint": "sleep", "metadata": metadata or {}}, state)

    def _record(self, job_id: str, request: dict[str, Any], state: str) -> dict[str, Any]:
        times = {"start_time": 1_700_000_000_000 + len(self.jobs), "end_time": None}
        return {**request, "type": "SUBMISSION", "submission_id": job_id, "status": state, **times}

    async def _submit(self, request: web.Request) -> web.Response:
        body = await request.json()
        job_id = body["submission_id"]
        if job_id in self.jobs:
            return web.Response(
                status=500, text=f"ValueError: Job with submission_id {job_id} already exists."
            )
        self.jobs[job_id] = self._record(job_id, body, "RUNNING")
        return web.json_response({"job_id": job_id, "submission_id": job_id})

    async def _describe(self, request: web.Request) -> web.Response:
        job_id = request.match_info["job"]
        if self.down:
            self.down -= 1
            raise web.HTTPServiceUnavailable
        if job_id not in self.jobs:
            return web.Response(status=404, text=f"Job {job_id} does not exist")
        return web.json_response(self.jobs[job_id])

    async def _log(self, request: web.Request) -> web.Response:
        return web.json_response({"logs": "".join(self._pieces(request.match_info["job"]))})

    async def _tail(self, request: web.Request) -> web.StreamResponse:
        job_id = request.match_info["job"]
        if self.cut:
            self.cut -= 1
            raise web.HTTPServiceUnavailable
        if self.down:
            self.down -= 1
            raise web.HTTPServiceUnavailable
        if job_id not in self.jobs:
            raise web.HTTPNotFound
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.followed += 1
        for number, piece in enumerate(self.course.pieces):
            if piece is None:
                self.course.pieces.pop(number)
                assert request.transport is not None
                request.transport.abort()
                return socket
            await socket.send_str(piece.replace("{id}", job_id))
        self.following.release()
        while self.course.hang and not self.released.is_set():
            await asyncio.sleep(0.01)
        self.jobs[job_id] |= {
            "status": self.course.state,
            "driver_exit_code": self.course.exit_code,
            "message": self.course.message,
            "end_time": 1_700_000_060_000,
        }
        return socket

    def _pieces(self, job_id: str) -> Iterator[str]:
        return (piece.replace("{id}", job_id) for piece in self.course.pieces if piece is not None)

    async def _stop(self, request: web.Request) -> web.Response:
        job_id = request.match_info["job"]
        self.stopped.append(job_id)
        self.jobs[job_id]["status"] = "STOPPED"
        return web.json_response({"stopped": True})

    async def _package(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if request.method == "PUT":
            self.packages[name] = await request.read()
            self.uploads += 1
        return web.Response(status=200 if name in self.packages else 404)

    async def _version(self, _: web.Request) -> web.Response:
        return web.json_response(
            {"version": "4", "ray_version": self.version, "ray_commit": "", "session_name": ""}
        )

    async def _list(self, _: web.Request) -> web.Response:
        return web.json_response(list(self.jobs.values()))

    async def _nodes(self, _: web.Request) -> web.Response:
        nodes = [
            {
                "node_id": str(number), "node_ip": "10.0.0.1", "is_head_node": number == 0, "state": "ALIVE",
                "node_name": "n", "resources_total": totals, "labels": {}, "state_message": None,
            }
            for number, totals in enumerate(self.nodes)
        ]  # fmt: skip
        count = len(nodes)
        listed = {"result": nodes, "total": count, "num_after_truncation": count, "num_filtered": count}
        return web.json_response({"result": True, "msg": "", "data": {"result": listed}})

    @web.middleware
    async def _check_token(self, request: web.Request, handler: Any) -> web.StreamResponse:
        given = request.headers.get("Authorization")
        if self.token is not None and given is None:
            raise web.HTTPUnauthorized(text="Unauthorized: Missing authentication token")
        if self.token is not None and given != f"Bearer {self.token}":
            raise web.HTTPForbidden(text="Forbidden: Invalid authentication token")
        return await handler(request)

    def app(self) -> web.Application:
        """Its routes."""
        app = web.Application(middlewares=[self._check_token], client_max_size=1 << 30)
        job = "/api/jobs/{job}"
        app.add_routes(
            [
                web.get("/api/version", self._version),
                web.get("/api/v0/nodes", self._nodes),
                web.get("/api/jobs/", self._list),
                web.post("/api/jobs/", self._submit),
                web.get(job, self._describe),
                web.get(f"{job}/logs", self._log),
                web.get(f"{job}/logs/tail", self._tail),
                web.post(f"{job}/stop", self._stop),
                web.get("/api/packages/{protocol}/{name}", self._package),
                web.put("/api/packages/{protocol}/{name}", self._package),
            ]
        )
        return app


@contextmanager
def running(server: FakeJobServer) -> Iterator[FakeJobServer]:
    """While entered, it answers at ``server.url``."""
    loop = asyncio.new_event_loop()
    runner = web.AppRunner(server.app(), shutdown_timeout=0.1)
    loop.run_until_complete(runner.setup())
    site = web.TCPSite(runner, "127.0.0.1", 0)
    loop.run_until_complete(site.start())
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.released.set()
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
