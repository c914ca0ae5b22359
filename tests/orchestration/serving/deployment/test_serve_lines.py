"""What `animatic serve` prints, from the store alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestration.serving.deployment import Follower
from orchestration.serving.jobs import JobSpec, JobStore, ModelStatus, ReplicaReport, StoredPicture
from orchestration.serving.settings import LimitSettings
from tests.support.serving_api import version

PICTURE = StoredPicture(name="pictures/1", sha256="0" * 64, bytes=1, width=8, height=8)


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[JobStore]:
    store = JobStore(f"sqlite:///{tmp_path / 'jobs.sqlite'}", clock=clock)
    yield store
    store.close()


def _report(store: JobStore, status: ModelStatus, *notes: str) -> None:
    store.report(ReplicaReport(replica="r1", device="cpu", models=(status,), notes=notes))


def test_the_way_of_a_model_into_service_is_reported_once_each(store: JobStore) -> None:
    follower = Follower(store)
    _report(store, ModelStatus(name="champion", state="fetching"))
    assert follower.lines() == ["replica r1 began, on cpu", "champion: replica r1: fetching the bundle"]
    assert not follower.ready("champion")
    _report(store, ModelStatus(name="champion", state="fetching", last_error="it is damaged"), "no ledger")
    assert follower.lines() == ["replica r1: no ledger", "champion: replica r1: it is damaged"]
    assert follower.lines() == []
    _report(store, ModelStatus(name="champion", state="serving", serving=version()))
    assert follower.lines() == ["champion: replica r1 serves bundle abababababab (stage 3, preset tiny)"]
    assert follower.ready("champion")


def test_a_replica_that_no_longer_reports_is_reported_and_makes_nothing_ready(
    store: JobStore, clock: Clock
) -> None:
    follower = Follower(store)
    _report(store, ModelStatus(name="champion", state="serving", serving=version()))
    follower.lines()
    clock.now += 3600
    assert follower.lines() == ["replica r1 does not report any more: its videos run again elsewhere"]
    assert not follower.ready("champion")
    assert Follower(store).lines() == []


def test_ended_videos_are_reported_once_and_those_before_the_start_never(store: JobStore) -> None:
    def submit() -> str:
        spec = JobSpec(model="champion", prompt="a ball", seed=1, first=PICTURE)
        return store.submit(spec, "anonymous", LimitSettings()).job.id

    def claim() -> list[str]:
        jobs = store.claim("r1", {"champion"}, 1)
        for job in jobs:
            store.fail(job, "out_of_memory", "the device has too little memory")
        return [job.id for job in jobs]

    submit()
    assert claim()
    waiting = submit()
    follower = Follower(store)
    assert follower.lines() == []
    fresh = submit()
    assert claim() + claim() == [waiting, fresh]
    cause = "failed: out_of_memory: the device has too little memory"
    assert follower.lines() == [f"{waiting} {cause}", f"{fresh} {cause}"]
    assert follower.lines() == []
    store.delete(fresh)
    assert follower.lines() == []
