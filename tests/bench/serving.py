"""The service under load against ``animate`` in a loop: the same clips, alternately, on the same cores.

Locust's clients ask a real `animatic serve` over loopback. Its model is a tiny network that is not trained
(:func:`tests.support.serving.moving_bundle`); larger clips only lower the share of everything but sampling.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from core.errors import AnimaticError
from orchestration.serving.engine import ENVIRONMENT
from orchestration.serving.jobs import Job, JobStore
from tests.bench.timing import Result, Row
from tests.support.paths import ROOT
from tests.support.serve_process import ServeProcess
from tests.support.serve_process import serving as served
from tests.support.serving import export_moving, picture

USERS, QUEUE = 8, 8
STEPS = 16
# Batches of one, whose clips have the bytes of the loop's; a queue that the clients of the last part fill.
SETTINGS = ("engine.batch=1", f"limits.queue={QUEUE}", f"limits.queue_per_key={QUEUE}")
RATE = "limits.requests_per_minute=100000"
_PERCENTILES = (50, 95, 99)


@dataclass(frozen=True)
class Load:
    """What the clients saw of one part: seconds from the first request to the last clip, and each video."""

    seconds: float
    done: list[dict[str, Any]]
    refused: list[float]


def serving(rounds: int, clips: int) -> list[Result]:
    """``rounds`` times ``clips`` clips, by the loop and the service; then more clients than the queue takes.

    Raises:
        AnimaticError: a video was lost, doubled, failed or has other bytes, or nothing was refused.
    """
    with tempfile.TemporaryDirectory(prefix="animatic-bench-") as scratch:
        folder = Path(scratch)
        export_moving(folder / "exports", folder)
        options = [part for text in (*SETTINGS, RATE) for part in ("--set", text)]
        with (
            served(folder / "service", folder / "exports", *options) as service,
            _loop(folder) as loop,
        ):
            service.url(600)
            _round(service, loop, folder, _plan(folder, 0, 2), USERS)  # warms both
            pairs = [
                _round(service, loop, folder, _plan(folder, 100 * (number + 1), clips), USERS)
                for number in range(rounds)
            ]
            refused = _round(service, loop, folder, _plan(folder, 10_000, 4 * QUEUE), 4 * QUEUE)[2].refused
            if not refused or min(refused) < 1:
                raise AnimaticError(
                    "bench serving: the queue was full, and nothing was refused with Retry-After"
                )
            jobs = _jobs(folder / "service/runs/serving/jobs.sqlite", 2 + rounds * clips + 4 * QUEUE)
            loads = [load for _, _, load in pairs]
            return [*_throughput(pairs, clips), _latency(loads, jobs, len(refused))]


def _round(
    service: ServeProcess, loop: subprocess.Popen[str], folder: Path, plan: Path, users: int
) -> tuple[dict[str, Any], float, Load]:
    """One part: the loop's outcome, the service's processor time in seconds, and what its clients saw."""
    assert loop.stdin is not None and loop.stdout is not None
    loop.stdin.write(json.dumps(json.loads(plan.read_text())) + "\n")
    loop.stdin.flush()
    alone = json.loads(loop.stdout.readline())
    before = _processor_s(service)
    load = _load(service.url(), folder, plan, users)
    _check(alone["digests"], load)
    return alone, _processor_s(service) - before, load


def _load(url: str, folder: Path, plan: Path, users: int) -> Load:
    outcome = folder / "load.json"
    outcome.unlink(missing_ok=True)
    command = [sys.executable, "-m", "locust", "-f", str(ROOT / "tests/bench/serving_load.py"), "--headless"]
    command += ["--users", str(users), "--spawn-rate", str(users), "--host", url, "--run-time", "10m"]
    environment = {**os.environ, "BENCH_PLAN": str(plan), "BENCH_OUT": str(outcome)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if not outcome.exists():
        raise AnimaticError(f"bench serving: locust failed: {done.stderr[-2000:]}")
    found = json.loads(outcome.read_text())
    return Load(found["seconds"], found["done"], found["refused"])


def _check(digests: list[str], load: Load) -> None:
    """Every video ended once, with the bytes of the loop's clip."""
    found = {video["number"]: video for video in load.done}
    ids = {video["id"] for video in load.done}
    wrong = [
        number
        for number, digest in enumerate(digests)
        if number not in found or (found[number]["status"], found[number]["sha256"]) != ("completed", digest)
    ]
    if wrong or len(ids) != len(digests) or len(load.done) != len(digests):
        raise AnimaticError(f"bench serving: of {len(digests)} videos {wrong} are lost, doubled or different")


def _jobs(database: Path, expected: int) -> dict[str, Job]:
    """Every video of the service, by id. Raises AnimaticError unless each was run once."""
    store = JobStore(f"sqlite:///{database}")
    try:
        jobs = store.listed(None, limit=expected + 1)
    finally:
        store.close()
    again = [job.id for job in jobs if job.state != "completed" or job.attempt != 1]
    if again or len(jobs) != expected:
        raise AnimaticError(
            f"bench serving: {len(jobs)} videos for {expected}, not completed at once: {again}"
        )
    return {job.id: job for job in jobs}


def _throughput(pairs: list[tuple[dict[str, Any], float, Load]], clips: int) -> list[Result]:
    walls = [(alone["seconds"] / clips, load.seconds / clips) for alone, _, load in pairs]
    spent = [(alone["processor"] / clips, processor / clips) for alone, processor, _ in pairs]
    title = f"a clip of {STEPS} steps, by animate in a loop and by the service with {USERS} clients"
    return [
        Result("serving", title, clock, _rows(seconds))
        for clock, seconds in (("wall seconds", walls), ("processor seconds", spent))
    ]


def _rows(seconds: list[tuple[float, float]]) -> list[Row]:
    loop, service = zip(*seconds, strict=True)
    ratio = statistics.median(a / b for a, b in seconds)
    return [
        Row("animate in a loop", statistics.median(loop), 1.0),
        Row("service", statistics.median(service), ratio),
    ]


def _latency(loads: list[Load], jobs: dict[str, Job], refused: int) -> Result:
    videos = [video for load in loads for video in load.done]
    waits, runs = [], []
    for video in videos:
        job = jobs[video["id"]]
        assert job.started is not None and job.ended is not None
        waits.append((job.started - job.created).total_seconds())
        runs.append((job.ended - job.started).total_seconds())
    parts = {
        "accept": [video["accept_s"] for video in videos],
        "wait": waits,
        "run": runs,
        "content": [video["content_s"] for video in videos],
    }
    rows = [
        Row(f"{part}, p{percent}", _percentile(seconds, percent))
        for part, seconds in parts.items()
        for percent in _PERCENTILES
    ]
    title = f"{len(videos)} videos; then {4 * QUEUE}, a queue of {QUEUE}: {refused} refusals (429)"
    return Result("serving-latency", title, "wall seconds", rows)


def _percentile(seconds: list[float], percent: int) -> float:
    ordered = sorted(seconds)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]


def _plan(folder: Path, seed: int, clips: int) -> Path:
    pictures = [folder / f"{seed + number}.png" for number in range(clips)]
    for number, path in enumerate(pictures):
        path.write_bytes(picture(seed + number))
    fields = {"prompt": "a ball rolls", "num_inference_steps": str(STEPS)}
    jobs = [{**fields, "seed": str(seed + number)} for number in range(clips)]
    plan = folder / "plan.json"
    plan.write_text(json.dumps({"jobs": jobs, "pictures": [str(path) for path in pictures]}))
    return plan


@contextmanager
def _loop(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """The loop, in a process whose threads wait as those of a replica do."""
    command = [
        sys.executable,
        "-m",
        "tests.bench.serving_loop",
        str(folder / "exports"),
        str(folder / "loop"),
    ]
    environment = {**os.environ, **ENVIRONMENT, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""}
    with subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as loop:
        try:
            yield loop
        finally:
            loop.kill()


def _processor_s(service: ServeProcess) -> float:
    """Of all processes of the service so far."""
    total = 0.0
    for process in service.processes():
        try:
            times = process.cpu_times()
        except psutil.Error:  # one that ended meanwhile
            continue
        total += times.user + times.system
    return total
