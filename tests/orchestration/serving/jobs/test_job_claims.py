"""Claims: order, batches of one shape, fencing, abandoned batches."""

from __future__ import annotations

import pytest

from orchestration.serving.counters import ENDED, LOST
from orchestration.serving.jobs import Job, JobStore, LeaseLostError
from tests.support.job_stores import Clock, complete, made_by, submit


def _ids(jobs: list[Job]) -> list[str]:
    return [job.id for job in jobs]


def _claim(store: JobStore, most: int = 1, replica: str = "r1") -> list[Job]:
    return store.claim(replica, {"champion", "challenger"}, most)


def _abandon(store: JobStore, clock: Clock) -> int:
    clock.forward(31)
    return store.requeue_abandoned()


def test_nothing_waits_and_nothing_is_claimed(store: JobStore) -> None:
    assert _claim(store) == []
    submit(store, model="other")
    assert _claim(store) == []
    assert store.claim("r1", set(), 1) == []


def test_claimed_job_is_in_progress_and_nobody_else_gets_it(store: JobStore) -> None:
    job = submit(store)
    (claimed,) = _claim(store)
    assert (claimed.id, claimed.state, claimed.replica, claimed.attempt) == (job.id, "in_progress", "r1", 1)
    assert claimed.started is not None
    assert _claim(store, replica="r2") == []


def test_batch_has_one_shape_and_the_oldest_first(store: JobStore) -> None:
    first = submit(store)
    submit(store, sampling={"steps": 7})
    submit(store, model="challenger")
    third, fourth = submit(store, prompt="other", seed=9), submit(store)
    assert _ids(_claim(store, 2)) == [first.id, third.id]
    submit(store, mode="loop"), submit(store, frames=4), submit(store, size=(64, 40))
    assert [len(_claim(store, 9)) for _ in range(6)] == [1] * 6
    assert store.get(fourth.id).state == "in_progress"  # type: ignore[union-attr]


def test_owner_with_many_jobs_does_not_starve_another(store: JobStore) -> None:
    many = [submit(store, "ann").id for _ in range(5)]
    late = [submit(store, "bob").id for _ in range(2)]
    order = [many[0], late[0], many[1], late[1], *many[2:]]
    positions = store.get_many(order)
    assert [positions[job_id].position for job_id in order] == [1, 2, 3, 4, 5, 6, 7]
    claimed = [_ids(_claim(store))[0] for _ in range(3)]
    assert claimed == [many[0], late[0], many[1]]


def test_owner_whose_jobs_end_at_once_does_not_take_every_turn(store: JobStore, clock: Clock) -> None:
    for _ in range(3):
        submit(store, "ann")
    late = submit(store, "bob").id
    started = []
    for _ in range(2):
        clock.forward(1)
        (claimed,) = _claim(store)
        started.append(claimed.id)
        complete(store, claimed)
    assert started[1] == late


def test_batches_are_shared_between_owners(store: JobStore) -> None:
    many = [submit(store, "ann").id for _ in range(5)]
    late = submit(store, "bob").id
    assert set(_ids(_claim(store, 2))) == {many[0], late}


def test_position_is_the_number_of_claims_until_the_job_starts(store: JobStore, clock: Clock) -> None:
    for owner in ("ann", "ann", "bob", "ann", "eve", "bob"):
        submit(store, owner)
    waiting = {job.id: job.position for job in store.listed(None, limit=9)}
    for number in range(1, 7):
        clock.forward(1)
        (claimed,) = _claim(store)
        assert waiting[claimed.id] == number
        complete(store, claimed)


def test_progress_renews_the_lease_and_returns_wanted_cancellations(store: JobStore, clock: Clock) -> None:
    job, other = submit(store), submit(store)
    batch = _claim(store, 2)
    for step in range(1, 4):
        clock.forward(20)
        assert store.progress(batch, step, 10, 5.0) == frozenset()
        assert store.requeue_abandoned() == 0
    running = store.get(job.id)
    assert running is not None
    assert (running.step, running.steps, running.remaining_s) == (3, 10, 5.0)
    cancelling = store.request_cancel(other.id)
    assert cancelling is not None
    assert (cancelling.state, cancelling.cancel_requested) == ("in_progress", True)
    assert store.progress(batch, 4, 10, 4.0) == {other.id}


def test_completed_job_has_its_clip_and_what_made_it(store: JobStore, clock: Clock) -> None:
    job = submit(store)
    (claimed,) = _claim(store)
    clock.forward(5)
    complete(store, claimed)
    done = store.get(job.id)
    assert done is not None
    assert done.state == "completed"
    assert done.made_by == made_by("r1")
    assert done.mp4 is not None
    assert done.mp4.name == f"clips/{job.id}-1.mp4"
    assert (done.ended, done.expires) != (None, None)
    assert (done.expires - done.ended).total_seconds() == 3600  # type: ignore[operator]


def test_end_that_is_repeated_changes_nothing(store: JobStore) -> None:
    job = submit(store)
    (claimed,) = _claim(store)
    complete(store, claimed)
    done = store.get(job.id)
    complete(store, claimed)  # as after a lost connection
    assert store.get(job.id) == done
    with pytest.raises(LeaseLostError):
        store.fail(claimed, "internal", "no")


def test_failed_job_has_its_code(store: JobStore) -> None:
    job = submit(store)
    store.fail(_claim(store)[0], "out_of_memory", "smaller")
    failed = store.get(job.id)
    assert failed is not None
    assert failed.error is not None
    assert (failed.state, failed.error.code, failed.error.message) == ("failed", "out_of_memory", "smaller")


def test_released_jobs_are_claimed_again_as_the_same_batch(store: JobStore) -> None:
    submit(store), submit(store)
    batch = _claim(store, 2)
    submit(store)
    store.release(batch)
    again = _claim(store, 9, replica="r2")
    assert _ids(again) == _ids(batch)
    assert {job.batch for job in again} == {job.batch for job in batch}
    assert {job.attempt for job in again} == {2}


def test_released_job_that_was_to_be_cancelled_is(store: JobStore) -> None:
    job = submit(store)
    batch = _claim(store)
    store.request_cancel(job.id)
    store.release(batch)
    ended = store.get(job.id)
    assert ended is not None
    assert ended.state == "cancelled"
    assert ended.ended is not None
    assert _claim(store) == []


def test_replica_that_lost_its_lease_changes_nothing(store: JobStore, clock: Clock) -> None:
    job = submit(store)
    (lost,) = _claim(store)
    assert _abandon(store, clock) == 1
    for owner in (None, "r2"):
        if owner is not None:
            _claim(store, replica=owner)
        before = store.get(job.id)
        for act in (
            lambda: store.progress([lost], 1, 2, None),
            lambda: complete(store, lost),
            lambda: store.fail(lost, "internal", "no"),
            lambda: store.cancelled(lost),
            lambda: store.release([lost]),
        ):
            with pytest.raises(LeaseLostError):
                act()
        assert store.get(job.id) == before


def test_same_replica_with_a_former_attempt_changes_nothing(store: JobStore, clock: Clock) -> None:
    submit(store)
    (lost,) = _claim(store)
    _abandon(store, clock)
    (claimed,) = _claim(store)
    with pytest.raises(LeaseLostError):
        complete(store, lost)
    complete(store, claimed)


def test_progress_of_a_batch_is_refused_whole_if_one_is_lost(store: JobStore) -> None:
    first, second = submit(store), submit(store)
    batch = _claim(store, 2)
    store.fail(batch[0], "internal", "no")
    with pytest.raises(LeaseLostError):
        store.progress(batch, 5, 9, None)
    running = store.get(second.id)
    assert running is not None
    assert running.step is None
    assert first.id == batch[0].id


def test_abandoned_batch_is_claimed_first_and_as_it_was(store: JobStore, clock: Clock) -> None:
    batch_ids = [submit(store).id for _ in range(3)]
    _claim(store, 3)
    submit(store)
    assert _abandon(store, clock) == 3
    assert _ids(_claim(store, 1, replica="r2")) == batch_ids


def test_abandoned_batch_goes_on_without_those_that_ended(store: JobStore, clock: Clock) -> None:
    ids = [submit(store).id for _ in range(4)]
    batch = _claim(store, 4)
    complete(store, batch[0])
    store.request_cancel(ids[1])
    assert _abandon(store, clock) == 3
    states = {job.id: job.state for job in store.listed(None, limit=9)}
    assert [states[job_id] for job_id in ids] == ["completed", "cancelled", "queued", "queued"]
    assert _ids(_claim(store, 4)) == ids[2:]


def test_job_whose_replicas_are_lost_fails_after_its_attempts(store: JobStore, clock: Clock) -> None:
    job = submit(store)
    for _ in range(3):
        assert _ids(_claim(store)) == [job.id]
        assert _abandon(store, clock) == 1
    failed = store.get(job.id)
    assert failed is not None
    assert failed.error is not None
    assert (failed.state, failed.error.code, failed.attempt) == ("failed", "replica_lost", 3)
    counted = store.counters()
    (lost,), (ended,) = LOST.add(), ENDED.add("champion", "failed", "replica_lost")
    assert (counted[lost], counted[ended]) == (3, 1)


def test_stops_of_replicas_do_not_count_as_lost_attempts(store: JobStore) -> None:
    submit(store)
    for _ in range(5):
        store.release(_claim(store))
    assert len(_claim(store)) == 1


def test_last_attempt_of_a_batch_is_made_one_by_one(store: JobStore, clock: Clock) -> None:
    ids = [submit(store).id for _ in range(2)]
    for _ in range(2):
        assert _ids(_claim(store, 2)) == ids
        _abandon(store, clock)
    assert [_ids(_claim(store, 2)) for _ in ids] == [[ids[0]], [ids[1]]]
