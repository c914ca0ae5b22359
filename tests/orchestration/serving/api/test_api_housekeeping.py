"""What runs beside the routes: housekeeping and the watcher outlive outages and faults."""

import asyncio
import logging
import threading

import pytest

from orchestration.serving.api.housekeeping import Housekeeping, Task
from orchestration.serving.api.recorder import Recorder
from orchestration.serving.api.watcher import Watcher
from orchestration.serving.counters import FAULTS, Sample
from orchestration.serving.jobs import Job, JobStoreError
from tests.support.serving_api import ApiService


class Counted:
    """A store that takes counters."""

    def __init__(self) -> None:
        self.counted: dict[Sample, float] = {}

    def count(self, increments: dict[Sample, float]) -> None:
        for sample, by in increments.items():
            self.counted[sample] = self.counted.get(sample, 0) + by


def test_a_task_that_fails_is_counted_and_done_again_beside_the_others(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("orchestration.serving.api.housekeeping._ROUND_S", 0.001)
    store, rounds, enough = Counted(), [0, 0], threading.Event()

    def faulty() -> None:
        rounds[0] += 1
        raise ZeroDivisionError("a bug")

    def unavailable() -> None:
        rounds[1] += 1
        if rounds[1] < 3:
            raise JobStoreError("the database does not answer")
        if rounds[1] == 5:
            enough.set()

    recorder = Recorder(store)  # type: ignore[arg-type]
    housekeeping = Housekeeping([Task(faulty, 0), Task(unavailable, 0)], recorder)
    with caplog.at_level(logging.INFO):
        housekeeping.start()
        assert enough.wait(10)
        housekeeping.stop()
    (key,) = FAULTS.add("housekeeping")
    assert store.counted[key] == rounds[0] >= 4
    outages = [r for r in caplog.records if "does not answer" in r.message]
    assert len(outages) == 1  # not in every round
    assert "the stores answer again" in caplog.text


def test_a_task_waits_for_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestration.serving.api.housekeeping._ROUND_S", 0.001)
    seldom: list[int] = []
    often, enough = [0], threading.Event()

    def count() -> None:
        often[0] += 1
        if often[0] == 5:
            enough.set()

    tasks = [Task(lambda: seldom.append(1), 3600), Task(count, 0)]
    housekeeping = Housekeeping(tasks, Recorder(Counted()))  # type: ignore[arg-type]
    housekeeping.start()
    assert enough.wait(10)
    housekeeping.stop()
    assert len(seldom) == 1


def test_watches_outlive_an_outage_and_share_one_look_at_the_store(service: ApiService) -> None:
    ids = [service.submit() for _ in range(3)]
    looks: list[list[str]] = []

    class Failing:
        def get_many(self, job_ids: list[str]) -> dict[str, Job]:
            looks.append(sorted(job_ids))
            if len(looks) == 1:
                raise JobStoreError("no answer")
            if len(looks) == 2:
                raise ZeroDivisionError("a bug")
            if len(looks) == 4:
                for job_id in ids:
                    service.store.request_cancel(job_id)
            return service.store.get_many(job_ids)

    async def watch_all() -> list[Job | None]:
        watcher = Watcher(Failing(), every_s=0.001)  # type: ignore[arg-type]
        async with asyncio.timeout(10):
            return await asyncio.gather(*(watcher.ended(service.job(job_id)) for job_id in ids))

    ended = asyncio.run(watch_all())
    assert [job.state for job in ended if job is not None] == ["cancelled"] * 3
    assert all(look == sorted(ids) for look in looks)
    assert len(looks) <= 6
