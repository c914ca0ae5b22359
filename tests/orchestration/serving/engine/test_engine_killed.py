"""A replica that is killed at any moment loses no job, and makes the same bytes in its next life."""

import hashlib
import random
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from orchestration.serving.jobs import Job
from tests.support.serving import Service, engine_service, picture
from tests.support.serving_process import ATTEMPTS, BATCH, LEASE_S, start_engine
from tests.support.waiting import wait_until

JOBS, KILLS = 8, 4


SETTINGS = {"batch": BATCH, "lease_seconds": LEASE_S, "attempts": ATTEMPTS}


def submit_all(service: Service) -> list[Job]:
    """Batches of two shapes."""
    return [
        service.submit(image=picture(seed), seed=seed, sampling={"steps": 12 + seed // 4})
        for seed in range(JOBS)
    ]


@pytest.mark.slow
def test_a_replica_that_is_killed_at_any_moment_loses_and_doubles_no_job(models, exports: Path, tmp_path):
    with engine_service(tmp_path / "undisturbed", models, **SETTINGS) as service:
        jobs = submit_all(service)
        service.start()
        expected = [service.read(job.mp4) for job in service.wait(*jobs)]

    moments = random.Random(0)
    with engine_service(tmp_path / "state", models, **SETTINGS) as service:
        jobs = submit_all(service)
        for _ in range(KILLS):
            with killed_engine(tmp_path / "state", exports) as process:
                wait_for_a_step(service, jobs, process)
                time.sleep(moments.uniform(0, 0.8))  # the moment of the kill is what varies
            store_is_whole(service, jobs)
        with killed_engine(tmp_path / "state", exports):
            ended = service.wait(*jobs)
        assert sum(job.lost for job in ended) >= KILLS  # a kill between two batches loses none
        assert [job.state for job in ended] == ["completed"] * JOBS
        assert [service.read(job.mp4) for job in ended] == expected
        assert len(service.store.listed(None, limit=100)) == JOBS


@contextmanager
def killed_engine(state: Path, exports: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A replica in a process of its own, which is killed at the end."""
    process = start_engine(state, exports)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def wait_for_a_step(service: Service, jobs: list[Job], process: subprocess.Popen[bytes]) -> None:
    """Return once a replica that is new has done a step."""
    former = {job.replica for job in service.all(*jobs)}

    def stepping() -> bool:
        found = service.all(*jobs)
        return service.ended(*jobs) or any(bool(job.step) and job.replica not in former for job in found)

    wait_until(
        stepping, ended=lambda: None if process.poll() is None else f"ended with {process.returncode}",
        every_s=0.01,
    )  # fmt: skip


def store_is_whole(service: Service, jobs: list[Job]) -> None:
    """Every completed job has whole files; no other has any."""
    for job in service.all(*jobs):
        assert (job.state == "completed") == (job.mp4 is not None)
        for clip in (job.mp4, job.gif):
            if clip is not None:
                content = service.read(clip)
                assert (len(content), hashlib.sha256(content).hexdigest()) == (clip.bytes, clip.sha256)
