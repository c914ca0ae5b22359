"""The job store against a model of it, whatever clients, replicas and time do."""

from __future__ import annotations

import tempfile
from itertools import count
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from orchestration.serving.jobs import Job, JobStore, LeaseLostError, StoreRules
from tests.support.job_store_model import (
    ACTIVE,
    ATTEMPTS,
    CLIP_BYTES,
    KEEP_S,
    LEASE_S,
    PICTURE_BYTES,
    ModelJob,
    StoreModel,
)
from tests.support.job_stores import LIMITS, Clock, clip, made_by, picture, spec, sqlite_url

_ENDS = {"complete": "completed", "fail": "failed", "cancelled": "cancelled"}
_ANY = st.integers(0, 10_000)


class JobStoreMachine(RuleBasedStateMachine):
    """Clients, replicas and time."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self._clock = Clock()
        rules = StoreRules(lease_s=LEASE_S, attempts=ATTEMPTS, keep_s=KEEP_S)
        self._store = JobStore(sqlite_url(Path(self._folder.name)), rules, clock=self._clock)
        self._model = StoreModel(self._clock.now)
        self._handles: list[Job] = []
        self._ended: dict[str, tuple[int, str | None]] = {}
        self._numbers = count(1)

    def teardown(self) -> None:
        self._store.close()
        self._folder.cleanup()

    @rule(owner=st.sampled_from(["ann", "bob", "eve"]), shape=st.integers(1, 2))
    def submit(self, owner: str, shape: int) -> None:
        number = next(self._numbers)
        wanted = spec(sampling={"steps": shape}, first=picture(f"pictures/{number}", PICTURE_BYTES))
        job_id = self._store.submit(wanted, owner, LIMITS, (str(number), "digest")).job.id
        self._model.jobs[job_id] = ModelJob(job_id, owner, shape, number)
        assert not self._store.submit(wanted, owner, LIMITS, (str(number), "digest")).created

    @rule(replica=st.sampled_from(["r1", "r2"]), most=st.integers(1, 3))
    def claim(self, replica: str, most: int) -> None:
        expected = self._model.claim(replica, most)
        claimed = self._store.claim(replica, {"champion"}, most)
        assert [job.id for job in claimed] == expected
        self._handles += claimed

    @precondition(lambda self: self._handles)
    @rule(which=_ANY, end=st.sampled_from(["complete", "fail", "cancelled", "release", "progress"]))
    def report(self, which: int, end: str) -> None:
        """A replica reports of an attempt: its last, or a former one that it lost or ended."""
        handle = self._handles[which % len(self._handles)]
        job, state = self._model.jobs.get(handle.id), _ENDS.get(end)
        if job is None or not self._model.holds(handle.id, str(handle.replica), handle.attempt):
            ended = self._ended.get(handle.id)
            if job is not None and job.state == state and ended == (handle.attempt, state):
                self._act(handle, end)  # a repetition
                return
            with pytest.raises(LeaseLostError):
                self._act(handle, end)
            return
        wanted_gone = self._act(handle, end)
        if end == "progress":
            job.lease = self._model.now + LEASE_S
            assert wanted_gone == ({job.id} if job.cancel else set())
        elif end == "release":
            if job.cancel:
                self._model.end(job, "cancelled")
            else:
                job.state = "queued"
        else:
            self._model.end(job, str(state))
            self._ended[job.id] = (handle.attempt, state)
            job.clip = clip(handle).name if end == "complete" else None

    def _act(self, handle: Job, end: str) -> frozenset[str] | None:
        if end == "progress":
            return self._store.progress([handle], 1, 2, None)
        if end == "complete":
            self._store.complete(handle, made_by(), clip(handle, size=CLIP_BYTES), None)
        elif end == "fail":
            self._store.fail(handle, "internal", "no")
        elif end == "cancelled":
            self._store.cancelled(handle)
        else:
            self._store.release([handle])
        return None

    @precondition(lambda self: self._model.jobs)
    @rule(which=_ANY)
    def cancel(self, which: int) -> None:
        job = self._any(which)
        if job.state == "queued":
            self._model.end(job, "cancelled")
        elif job.state == "in_progress":
            job.cancel = True
        assert self._store.request_cancel(job.id) is not None

    @precondition(lambda self: self._model.jobs)
    @rule(which=_ANY)
    def delete(self, which: int) -> None:
        job = self._any(which)
        assert (self._store.delete(job.id) is None) == (job.state in ACTIVE)
        if job.state not in ACTIVE:
            del self._model.jobs[job.id]

    @rule(seconds=st.sampled_from([1, 20, 400]))
    def wait(self, seconds: int) -> None:
        self._clock.forward(seconds)
        self._model.now = self._clock.now

    @rule()
    def requeue(self) -> None:
        assert self._store.requeue_abandoned() == self._model.requeue()

    @rule()
    def spend(self) -> None:
        assert sorted(self._store.spent_objects()) == self._model.spend()

    def _any(self, which: int) -> ModelJob:
        return list(self._model.jobs.values())[which % len(self._model.jobs)]

    @invariant()
    def store_is_as_the_model(self) -> None:
        positions = {job.id: number for number, job in enumerate(self._model.queue(), 1)}
        expected = [
            (job.id, job.state, job.attempt, positions.get(job.id)) for job in self._model.jobs.values()
        ]
        found = self._store.listed(None, limit=1000, order="asc")
        assert [(job.id, job.state, job.attempt, job.position) for job in found] == expected
        assert self._store.stored_bytes() == sum(job.bytes for job in self._model.jobs.values())

    @invariant()
    def objects_are_known(self) -> None:
        jobs = self._model.jobs.values()
        objects = {f"pictures/{job.number}" for job in jobs if job.picture} | {
            job.clip for job in jobs if job.clip is not None
        }
        assert self._store.known_objects() == (objects, {job.id for job in jobs if job.state in ACTIVE})


def test_store_does_what_its_model_does() -> None:
    run_state_machine_as_test(JobStoreMachine, settings=settings(max_examples=4, stateful_step_count=30))


@pytest.mark.slow
def test_store_does_what_its_model_does_for_long() -> None:
    run_state_machine_as_test(JobStoreMachine, settings=settings(max_examples=150, stateful_step_count=60))
