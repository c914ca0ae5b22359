"""Many processes use one store at once."""

from __future__ import annotations

import subprocess
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from orchestration.serving.jobs import JobStore
from tests.support.job_store_processes import start
from tests.support.job_stores import submit
from tests.support.waiting import wait_until

_QUEUE, _PROCESSES, _SUBMISSIONS = 20, 6, 40


@pytest.mark.slow
def test_processes_that_submit_at_once_never_exceed_the_queue_nor_accept_a_key_twice(
    database_url: str, tmp_path: Path
) -> None:
    logs = [tmp_path / f"{number}.log" for number in range(_PROCESSES)]
    processes = [_submitter(database_url, log) for log in logs]
    wait_until(lambda: all(log.read_text() == "ready\n" for log in logs))
    for process in processes:
        assert process.stdin is not None
        process.stdin.close()
    assert [process.wait(timeout=60) for process in processes] == [0] * _PROCESSES

    lines = [line.split() for log in logs for line in log.read_text().splitlines()]
    accepted = [line for line in lines if line[0] == "accepted"]
    made = Counter(line[1] for line in accepted if line[3] == "True")
    assert set(made.values()) == {1}
    assert len(made) == _QUEUE
    ids: dict[str, set[str]] = {}
    for line in accepted:
        ids.setdefault(line[1], set()).add(line[2])
    assert all(len(found) == 1 for found in ids.values())
    assert len(accepted) < _PROCESSES * _SUBMISSIONS
    store = JobStore(database_url)
    assert store.count_states() == {"queued": _QUEUE}
    store.close()


def test_replicas_that_claim_at_once_share_no_job_and_no_abandoned_batch(database_url: str) -> None:
    stores = [JobStore(database_url) for _ in range(4)]
    ids = {submit(stores[0]).id for _ in range(24)}
    with ThreadPoolExecutor(len(stores)) as pool:
        batches = _claimed_at_once(pool, stores)
        assert sorted(job_id for batch in batches for job_id in batch) == sorted(ids)
        jobs = stores[0].get_many(sorted(ids))
        for batch in batches:
            stores[0].release([jobs[job_id] for job_id in batch])
        again = _claimed_at_once(pool, stores)
    assert sorted(again) == sorted(batches)
    for store in stores:
        store.close()


def _claimed_at_once(pool: ThreadPoolExecutor, stores: list[JobStore]) -> list[tuple[str, ...]]:
    """All batches until none waits."""

    def claim(number: int) -> list[tuple[str, ...]]:
        found = []
        while batch := stores[number].claim(f"r{number}", {"champion"}, 3):
            found.append(tuple(job.id for job in batch))
        return found

    return [batch for found in pool.map(claim, range(len(stores))) for batch in found]


def _submitter(url: str, log: Path) -> subprocess.Popen[bytes]:
    return start("submit", url, log.stem, str(_SUBMISSIONS), str(_QUEUE), log=log)
