"""Clients and replicas that are killed at any moment: no accepted job is lost, doubled or stuck."""

from __future__ import annotations

import random
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest

from orchestration.serving.jobs import JobStore, StoreRules
from tests.support.job_store_processes import start
from tests.support.job_stores import complete
from tests.support.waiting import wait_until

_KILLS, _LEASE_S = 15, 1.0
_ROLES = {"w1": "write", "w2": "write", "r1": "replica", "r2": "replica", "r3": "replica"}


@pytest.mark.slow
def test_no_job_is_lost_doubled_or_stuck_when_writers_and_replicas_are_killed(
    database_url: str, tmp_path: Path
) -> None:
    JobStore(database_url).close()
    logs = {name: tmp_path / f"{name}.log" for name in _ROLES}
    processes = {name: _start(name, database_url, logs[name], 0) for name in _ROLES}
    chance = random.Random(0)
    try:
        for kill in range(1, _KILLS + 1):
            name = chance.choice(sorted(_ROLES))
            before = len(logs[name].read_text().splitlines())
            wait_until(lambda name=name, before=before: len(logs[name].read_text().splitlines()) > before + 3)
            time.sleep(chance.uniform(0, 0.02))  # anywhere in a transaction
            processes[name].kill()
            processes[name].wait()
            processes[name] = _start(name, database_url, logs[name], kill)
    finally:
        for process in processes.values():
            process.kill()
            process.wait()

    said = [line.split() for log in logs.values() for line in log.read_text().splitlines() if line]
    accepted = {words[1] for words in said if words[0] == "accepted"}
    completed = Counter(words[1] for words in said if words[0] == "completed")
    assert not [words for words in said if words[0] == "error"]
    assert len(accepted) > _KILLS
    assert set(completed.values()) == {1}
    _finish(database_url)
    store = JobStore(database_url)
    jobs = store.listed(None, limit=1_000_000)
    store.close()
    assert {job.state for job in jobs} == {"completed"}
    assert accepted <= {job.id for job in jobs}
    # A killed client may not have learnt of its last job: at most one for each kill.
    assert len(jobs) - len(accepted) <= _KILLS + len(_ROLES)
    assert all(job.made_by is not None and job.mp4 is not None for job in jobs)


def _start(name: str, url: str, log: Path, turn: int) -> subprocess.Popen[bytes]:
    """A replica that starts again has another name; a client uses other keys."""
    rest = (str(_LEASE_S),) if _ROLES[name] == "replica" else ()
    return start(_ROLES[name], url, f"{name}.{turn}", *rest, log=log)


def _finish(url: str) -> None:
    """One replica runs what the killed ones have left."""
    store = JobStore(url, StoreRules(lease_s=_LEASE_S, attempts=1000))

    def all_ended() -> bool:
        store.requeue_abandoned()
        while batch := store.claim("last", {"champion"}, 3):
            for job in batch:
                complete(store, job)
        return set(store.count_states()) == {"completed"}

    wait_until(all_ended)
    store.close()
