"""Accepting jobs: durable, once for an idempotency key, within limits."""

from __future__ import annotations

import math

import pytest

from orchestration.serving.jobs import (
    IdempotencyConflictError,
    JobStore,
    QueueFullError,
    RateLimitedError,
    StorageFullError,
)
from orchestration.serving.settings import LimitSettings
from tests.support.job_stores import LIMITS, Clock, complete, picture, spec, submit


def test_accepted_job_is_found_as_it_was_submitted(database_url: str) -> None:
    wanted = spec(prompt="Wellen 🌊", mode="loop", size=(64, 40), last=picture("pictures/2"))
    store = JobStore(database_url)
    job = store.submit(wanted, "ann", LIMITS).job
    store.close()

    reopened = JobStore(database_url)
    found = reopened.get(job.id, "ann")
    reopened.close()
    assert found is not None
    assert (found.spec, found.state, found.position, found.owner) == (wanted, "queued", 1, "ann")
    assert job.id.startswith("video_")
    assert found.created == job.created


def test_job_of_another_owner_is_not_found(store: JobStore) -> None:
    job = submit(store, "ann")
    assert store.get(job.id, "bob") is None
    assert store.get(job.id) is not None


def test_idempotency_key_gives_the_same_job_whatever_became_of_it(store: JobStore) -> None:
    first = store.submit(spec(), "ann", LIMITS, ("key", "digest"))
    (running,) = store.claim("r1", {"champion"}, 1)
    complete(store, running)
    again = store.submit(spec(), "ann", LIMITS, ("key", "digest"))
    assert (first.created, again.created) == (True, False)
    assert (again.job.id, again.job.state) == (first.job.id, "completed")


def test_idempotency_keys_of_owners_are_apart(store: JobStore) -> None:
    store.submit(spec(), "ann", LIMITS, ("key", "digest"))
    assert store.submit(spec(), "bob", LIMITS, ("key", "digest")).created


def test_idempotency_key_with_another_request_is_refused(store: JobStore) -> None:
    job = store.submit(spec(), "ann", LIMITS, ("key", "digest")).job
    with pytest.raises(IdempotencyConflictError, match=job.id):
        store.submit(spec(prompt="other"), "ann", LIMITS, ("key", "other"))


def test_known_idempotency_key_is_answered_when_the_queue_is_full(store: JobStore) -> None:
    limits = LimitSettings(queue=1, requests_per_minute=1)
    job = store.submit(spec(), "ann", limits, ("key", "digest")).job
    assert store.submit(spec(), "ann", limits, ("key", "digest")).job.id == job.id


def test_full_queue_is_refused_until_a_job_starts(store: JobStore) -> None:
    limits = LimitSettings(queue=2, queue_per_key=2)
    store.submit(spec(), "ann", limits)
    store.submit(spec(), "bob", limits)
    with pytest.raises(QueueFullError, match="2 videos wait"):
        store.submit(spec(), "eve", limits)
    store.claim("r1", {"champion"}, 1)
    store.submit(spec(), "eve", limits)


def test_queue_of_one_owner_is_refused_and_not_those_of_others(store: JobStore) -> None:
    limits = LimitSettings(queue=10, queue_per_key=1)
    store.submit(spec(), "ann", limits)
    with pytest.raises(QueueFullError, match="of this key"):
        store.submit(spec(), "ann", limits)
    store.submit(spec(), "bob", limits)


def test_retry_after_follows_what_recent_jobs_took(store: JobStore, clock: Clock) -> None:
    limits = LimitSettings(queue=1)
    for _ in range(3):
        submit(store)
        (running,) = store.claim("r1", {"champion"}, 1)
        clock.forward(7)
        complete(store, running)
    store.submit(spec(), "ann", limits)
    with pytest.raises(QueueFullError) as refused:
        store.submit(spec(), "ann", limits)
    assert refused.value.retry_after_s == pytest.approx(7)


def test_retry_after_counts_batches_and_replicas(store: JobStore, clock: Clock) -> None:
    limits = LimitSettings(queue=1)
    submit(store), submit(store)
    batch = store.claim("r1", {"champion"}, 2)
    clock.forward(40)
    for job in batch:
        complete(store, job)
    for replica in ("r1", "r2"):
        submit(store)
        store.claim(replica, {"champion"}, 1)
    store.submit(spec(), "ann", limits)
    with pytest.raises(QueueFullError) as refused:
        store.submit(spec(), "ann", limits)
    assert refused.value.retry_after_s == pytest.approx(40 / 2 / 2)  # two at a time on two replicas


def test_rate_is_limited_a_minute_long_even_if_the_jobs_are_deleted(store: JobStore, clock: Clock) -> None:
    limits = LimitSettings(requests_per_minute=2)
    store.submit(spec(), "ann", limits)
    clock.forward(20)
    job = store.submit(spec(), "ann", limits).job
    store.request_cancel(job.id)
    assert store.delete(job.id) is not None
    with pytest.raises(RateLimitedError) as refused:
        store.submit(spec(), "ann", limits)
    assert refused.value.retry_after_s == pytest.approx(40)
    store.submit(spec(), "bob", limits)
    clock.forward(math.ceil(refused.value.retry_after_s))
    store.submit(spec(), "ann", limits)


def test_refused_submission_leaves_nothing(store: JobStore) -> None:
    limits = LimitSettings(queue=1)
    store.submit(spec(), "ann", limits)
    with pytest.raises(QueueFullError):
        store.submit(spec(), "ann", limits, ("key", "digest"))
    assert store.count_states() == {"queued": 1}
    store.claim("r1", {"champion"}, 1)
    assert store.submit(spec(), "ann", limits, ("key", "digest")).created


def test_pictures_that_fill_the_store_are_refused(store: JobStore) -> None:
    submit(store, first=picture(size=60_000))
    with pytest.raises(StorageFullError, match="60000 of 100000 bytes"):
        submit(store, first=picture(size=50_000))
    submit(store, first=picture(size=40_000))


def test_listing_pages_in_both_orders(store: JobStore) -> None:
    ids = [submit(store).id for _ in range(5)]
    submit(store, "bob")
    assert [job.id for job in store.listed("ann", limit=3)] == ids[:1:-1]
    assert [job.id for job in store.listed("ann", limit=3, after=ids[2])] == ids[1::-1]
    assert [job.id for job in store.listed("ann", limit=2, after=ids[0], order="asc")] == ids[1:3]
    assert len(store.listed(None, limit=10)) == 6
    store.request_cancel(ids[3])
    assert [job.id for job in store.listed("ann", limit=9, state="cancelled")] == [ids[3]]


def test_many_jobs_are_read_at_once(store: JobStore) -> None:
    first, second = submit(store), submit(store)
    found = store.get_many([second.id, "video_unknown", first.id])
    assert {job_id: job.position for job_id, job in found.items()} == {first.id: 1, second.id: 2}
