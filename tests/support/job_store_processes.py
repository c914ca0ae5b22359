"""Processes that use one job store at once, for tests of races and kills: ``python FILE ROLE URL NAME …``."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

_ROOT = Path(__file__).parents[2]


def start(role: str, url: str, name: str, *arguments: str, log: Path) -> subprocess.Popen[bytes]:
    """Start a process in this role; what it did is in ``log``, a line each, also if it is killed."""
    environment = {**os.environ, "PYTHONPATH": str(_ROOT)}
    command = [sys.executable, __file__, role, url, name, *arguments]
    with log.open("ab") as file:
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=file, env=environment, cwd=_ROOT)


def _say(*words: object) -> None:
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def _submit(url: str, name: str, number: int, queue: int) -> None:
    """Submit so many jobs with idempotency keys, every second of which all processes use."""
    from orchestration.serving.jobs import JobStore, QueueFullError
    from orchestration.serving.settings import LimitSettings
    from tests.support.job_stores import spec

    store = JobStore(url)
    limits = LimitSettings(queue=queue, queue_per_key=queue, requests_per_minute=1_000_000)
    _say("ready")
    sys.stdin.read()
    for turn in range(number):
        key = f"{name if turn % 2 else 'all'}-{turn}"
        try:
            accepted = store.submit(spec(seed=turn), "ann", limits, (key, "digest"))
            _say("accepted", key, accepted.job.id, accepted.created)
        except QueueFullError:
            _say("full", key)


def _write(url: str, name: str) -> None:
    """Submit jobs of one owner without end."""
    from itertools import count

    from orchestration.serving.jobs import JobStore, RetryLaterError
    from orchestration.serving.settings import LimitSettings
    from tests.support.job_stores import spec

    store = JobStore(url)
    limits = LimitSettings(queue=30, queue_per_key=30, requests_per_minute=1_000_000)
    for turn in count():
        key = f"{name}-{turn}"
        try:
            _say("accepted", store.submit(spec(seed=turn), "ann", limits, (key, "digest")).job.id)
        except RetryLaterError:
            time.sleep(0.01)  # as clients do that are refused


def _replica(url: str, name: str, lease_s: float) -> None:
    """Claim batches and complete their jobs without end."""
    from orchestration.serving.jobs import JobStore, JobStoreError, LeaseLostError, StoreRules
    from tests.support.job_stores import clip, made_by

    store = JobStore(url, StoreRules(lease_s=lease_s, attempts=1000))
    while True:
        try:
            store.requeue_abandoned()
            batch = store.claim(name, {"champion"}, 3)
            for step in range(3 if batch else 0):
                store.progress(batch, step + 1, 3, None)
            for job in batch:
                store.complete(job, made_by(name), clip(job), None)
                _say("completed", job.id, job.attempt)
        except LeaseLostError:
            _say("lost")
        except JobStoreError as error:
            _say("error", error)


def main(arguments: Sequence[str]) -> None:
    """Act in a role."""
    role, url, name, *rest = arguments
    if role == "submit":
        _submit(url, name, int(rest[0]), int(rest[1]))
    elif role == "write":
        _write(url, name)
    else:
        _replica(url, name, float(rest[0]))


if __name__ == "__main__":
    main(sys.argv[1:])
