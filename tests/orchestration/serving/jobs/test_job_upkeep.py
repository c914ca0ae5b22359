"""Upkeep of the job store: cancellation, deletion, expiry, bytes, models that are not served any more."""

from __future__ import annotations

from orchestration.serving.counters import ENDED
from orchestration.serving.jobs import Job, JobStore, ModelStatus
from orchestration.serving.settings import LimitSettings
from tests.support.job_stores import Clock, complete, picture, report, serving, spec, submit


def _run(store: JobStore, size: int = 1000) -> Job:
    (claimed,) = store.claim("r1", {"champion"}, 1)
    complete(store, claimed, size)
    return claimed


def _get(store: JobStore, job: Job) -> Job:
    found = store.get(job.id)
    assert found is not None
    return found


def test_waiting_job_is_cancelled_at_once(store: JobStore) -> None:
    job = submit(store)
    cancelled = store.request_cancel(job.id)
    assert cancelled is not None
    assert (cancelled.state, cancelled.position) == ("cancelled", None)
    assert store.claim("r1", {"champion"}, 1) == []
    (counted,) = ENDED.add("champion", "cancelled", "")
    assert store.counters()[counted] == 1


def test_ended_job_is_not_cancelled(store: JobStore) -> None:
    job = submit(store)
    _run(store)
    assert store.request_cancel(job.id) == _get(store, job)
    assert _get(store, job).state == "completed"
    assert store.request_cancel("video_unknown") is None


def test_only_ended_jobs_are_deleted_and_only_once(store: JobStore) -> None:
    job = submit(store)
    assert store.delete(job.id) is None
    store.claim("r1", {"champion"}, 1)
    assert store.delete(job.id) is None
    store.fail(_get(store, job), "internal", "no")
    deleted = store.delete(job.id)
    assert deleted is not None
    assert deleted.objects == ["pictures/1"]
    assert (store.delete(job.id), store.get(job.id)) == (None, None)


def test_pictures_are_spent_when_their_job_has_ended(store: JobStore) -> None:
    submit(store, first=picture("pictures/a"), last=picture("pictures/b"))
    submit(store, first=picture("pictures/c"))
    assert store.spent_objects() == []
    _run(store)
    assert store.spent_objects() == ["pictures/a", "pictures/b"]
    assert store.spent_objects() == []
    assert store.stored_bytes() == 1100


def test_clip_expires_and_its_row_goes_after_as_long_again(store: JobStore, clock: Clock) -> None:
    job = submit(store)
    _run(store)
    clock.forward(3599)
    assert store.spent_objects() == ["pictures/1"]
    clock.forward(2)
    assert store.spent_objects() == [f"clips/{job.id}-1.mp4"]
    expired = _get(store, job)
    assert (expired.state, expired.mp4, store.stored_bytes()) == ("expired", None, 0)
    clock.forward(3599)
    store.spent_objects()
    assert _get(store, job).state == "expired"
    clock.forward(2)
    store.spent_objects()
    assert store.get(job.id) is None


def test_failed_and_cancelled_rows_go_after_their_time(store: JobStore, clock: Clock) -> None:
    failed, cancelled = submit(store), submit(store)
    store.fail(store.claim("r1", {"champion"}, 1)[0], "internal", "no")
    store.request_cancel(cancelled.id)
    clock.forward(3601)
    assert sorted(store.spent_objects()) == ["pictures/1", "pictures/1"]
    assert (store.get(failed.id), store.get(cancelled.id)) == (None, None)


def test_active_jobs_do_not_expire(store: JobStore, clock: Clock) -> None:
    running, waiting = submit(store), submit(store)
    store.claim("r1", {"champion"}, 1)
    clock.forward(1_000_000)
    assert store.spent_objects() == []
    assert (_get(store, running).state, _get(store, waiting).state) == ("in_progress", "queued")


def test_oldest_clips_go_while_all_are_more_than_allowed(store: JobStore, clock: Clock) -> None:
    ids = []
    for _ in range(3):
        ids.append(submit(store, first=picture(size=0)).id)
        clock.forward(1)
        _run(store, size=40_000)
    spent = store.spent_objects()
    assert spent == ["pictures/1"] * 3 + [f"clips/{ids[0]}-1.mp4"]
    assert [store.get(job_id).state for job_id in ids] == ["expired", "completed", "completed"]  # type: ignore[union-attr]
    assert store.stored_bytes() == 80_000


def test_known_objects_are_those_that_jobs_have(store: JobStore) -> None:
    done = submit(store, first=picture("pictures/a"))
    _run(store)
    active = submit(store, first=picture("pictures/b"))
    store.spent_objects()
    assert store.known_objects() == ({f"clips/{done.id}-1.mp4", "pictures/b"}, {active.id})


def test_job_for_a_model_that_is_not_served_any_more_fails(store: JobStore, clock: Clock) -> None:
    job, known = submit(store, model="f" * 64), submit(store)
    clock.forward(61)
    report(store, serving("champion", since=clock.now - 61))
    assert store.fail_unservable() == 1
    failed = _get(store, job)
    assert failed.error is not None
    assert (failed.state, failed.error.code) == ("failed", "model_unavailable")
    assert _get(store, known).state == "queued"
    (counted,) = ENDED.add("f" * 64, "failed", "model_unavailable")
    assert store.counters()[counted] == 1


def test_job_asked_for_by_bundle_waits_while_the_bundle_is_served(store: JobStore, clock: Clock) -> None:
    submit(store, model="f" * 64)
    clock.forward(61)
    report(store, serving("champion", "f" * 64, since=clock.now - 61))
    assert store.fail_unservable() == 0


def test_job_asked_for_by_bundle_waits_while_the_bundle_is_kept_after_an_exchange(
    store: JobStore, clock: Clock
) -> None:
    submit(store, model="f" * 64)
    clock.forward(61)
    now = serving("champion", since=clock.now - 61)
    report(store, now.model_copy(update={"former": "e" * 64, "former_bundle": "f" * 64}))
    assert store.fail_unservable() == 0
    report(store, now)
    assert store.fail_unservable() == 1


def test_job_waits_while_its_model_may_still_come(store: JobStore, clock: Clock) -> None:
    submit(store, model="challenger")
    clock.forward(1000)
    assert store.fail_unservable() == 0  # no replica
    report(store, serving("champion", since=clock.now - 10))
    assert store.fail_unservable() == 0  # the first model has just come
    fetching = ModelStatus(name="challenger", state="fetching", desired="d" * 64)
    report(store, serving("champion", since=clock.now - 100), fetching)
    assert store.fail_unservable() == 0  # the second is on its way
    clock.forward(20)
    assert store.fail_unservable() == 0  # the replica is lost, and may restart


def test_states_and_waiting_time_are_measured(store: JobStore, clock: Clock) -> None:
    assert (store.count_states(), store.oldest_wait_s()) == ({}, 0.0)
    submit(store)
    clock.forward(5)
    submit(store)
    store.claim("r1", {"champion"}, 1)
    clock.forward(2)
    assert store.count_states() == {"in_progress": 1, "queued": 1}
    assert store.oldest_wait_s() == 2.0


def test_a_clock_that_is_set_back_stops_neither_lost_jobs_nor_submissions(
    store: JobStore, clock: Clock
) -> None:
    job, limits = submit(store), LimitSettings(requests_per_minute=1)
    report(store)
    store.claim("r1", {"champion"}, 1)
    clock.forward(-3600)
    assert [replica.live for replica in store.replicas()] == [False]
    assert store.requeue_abandoned() == 1
    assert _get(store, job).state == "queued"
    assert store.submit(spec(), job.owner, limits).created
